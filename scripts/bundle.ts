// SPDX-License-Identifier: Apache-2.0
/**
 * Makes dist/, the JavaScript that is published: the daemon with what it needs at every start, in a few files. Of hundreds
 * of files, each with all of its text, Node.js keeps far more in memory. What only some need (OpenTelemetry, readable
 * log lines) stays in packages of its own.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type OutputChunk, type Plugin } from 'rolldown';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');

/** The last three of fastify's: compilers of schemas, of which there are none, and what tests ask with. */
const onDemand =
	/^(?:@opentelemetry\/|@grpc\/|@fastify\/ajv-compiler$|@fastify\/fast-json-stringify-compiler$|light-my-request$)/;

/** It imports the API of OpenTelemetry at every start, and so gets a copy: all copies of that share what they hold. */
const always = /\/node_modules\/prom-client\//;

/** One letter that is not of Latin 1, and V8 takes two bytes for every letter of the file. */
const ascii: Plugin = {
	name: 'ascii',
	generateBundle(_options, bundle) {
		for (const file of Object.values(bundle)) {
			if (file.type !== 'chunk') continue;
			file.code = file.code.replaceAll(
				/[^\0-\x7f]/g,
				(letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
			);
		}
	},
};

/** The licences of the packages that a bundle has parts of. */
function licences(chunks: readonly OutputChunk[]): string {
	const folders = new Set<string>();
	for (const id of chunks.flatMap(({ moduleIds }) => moduleIds)) {
		const folder = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0];
		if (folder !== undefined) folders.add(folder);
	}
	return [...folders].sort().map(licence).join('\n');
}

function licence(folder: string): string {
	const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
		readonly name: string;
		readonly version: string;
		readonly license: string;
	};
	const texts = readdirSync(folder).filter((file) => /^(?:licen[cs]e|notice|copying)\b/i.test(file));
	const text = texts.map((file) => readFileSync(join(folder, file), 'utf8').trim()).join('\n\n');
	return `${'='.repeat(80)}\n${name} ${version}, ${license}\n\n${text}\n`;
}

rmSync(dist, { recursive: true, force: true });
const { output } = await build({
	cwd: root,
	input: {
		main: 'daemon/main.ts',
		// processes of the demo's lab
		client: 'daemon/lab/client.ts',
		echo_server: 'daemon/lab/echo_server.ts',
	},
	platform: 'node',
	external: (id, importer) => onDemand.test(id) && !always.test(importer ?? ''),
	plugins: [ascii],
	output: {
		dir: dist,
		entryFileNames: ({ name }) => (name === 'main' ? 'daemon/main.js' : 'daemon/parts/[name].js'),
		chunkFileNames: 'daemon/parts/[name]-[hash].js',
	},
});
writeFileSync(join(dist, 'LICENSES.txt'), licences(output.filter((file) => file.type === 'chunk')));
