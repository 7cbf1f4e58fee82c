// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run collector [-- FILE]`: builds an OpenTelemetry Collector with the processor `toascope`
 * (integrations/otelcol/builder.yaml) and copies it to FILE, by default build/otelcol-toascope. Exit
 * codes: 0 built, 1 the build failed, 2 wrong usage, 3 this machine has no Go, or its modules cannot
 * be downloaded.
 */
import { copyFileSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { buildProcessorCollector, hasGo } from '../test/kit/telemetry/go_programs.ts';

const root = join(import.meta.dirname, '..');

async function build(file: string): Promise<number> {
	if (!hasGo) {
		console.error('Go is not installed. Install Go 1.26 or later (https://go.dev/doc/install), and run this again.');
		return 3;
	}
	console.error('building the Collector; the first time takes some minutes');
	const program = await buildProcessorCollector(true);
	if (program === undefined) return 3;
	mkdirSync(dirname(file), { recursive: true });
	// a running Collector keeps its file: it cannot be written to, but another can have its name
	copyFileSync(program, `${file}.new`);
	renameSync(`${file}.new`, file);
	console.log(file);
	return 0;
}

const [file = join(root, 'build/otelcol-toascope'), ...more] = process.argv.slice(2);
if (more.length > 0 || file.startsWith('-')) {
	console.error('usage: npm run collector [-- FILE]');
	process.exitCode = 2;
} else {
	try {
		process.exitCode = await build(resolve(file));
	} catch (error) {
		console.error((error as Error).message);
		process.exitCode = 1;
	}
}
