// SPDX-License-Identifier: Apache-2.0
/**
 * Builds dist/, the JavaScript that is published: the daemon and everything that it needs at every
 * start, bundled into a few files. With hundreds of files, Node.js would use far more memory,
 * because it keeps the complete text of each. What only some installations need (OpenTelemetry,
 * readable log lines) stays in separate packages.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type OutputChunk, type Plugin } from 'rolldown';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');

/**
 * Packages that are not bundled. The last three are fastify's: schema compilers, although toascope
 * has no schemas, and a client for tests.
 */
const onDemand =
	/^(?:@opentelemetry\/|@grpc\/|@fastify\/ajv-compiler$|@fastify\/fast-json-stringify-compiler$|light-my-request$)/;

/**
 * prom-client imports OpenTelemetry's API at every start, so it gets a bundled copy. All copies of
 * the API share their state.
 */
const always = /\/node_modules\/prom-client\//;

/**
 * Escapes all characters outside ASCII: a single one outside Latin-1 makes V8 use two bytes for
 * every character of the file.
 */
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

/** The licences of all packages whose code is in the bundle. */
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
		// programs of the demo's lab, which run as processes of their own
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
