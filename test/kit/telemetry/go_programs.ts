// SPDX-License-Identifier: Apache-2.0
/**
 * Real receivers of OTLP that no distribution has: built from their Go modules, once, below
 * build/collector/.
 */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const root = join(import.meta.dirname, '../../..');
const built = join(root, 'build/collector');
const manifest = join(import.meta.dirname, 'collector/builder.yaml');
const builder = 'go.opentelemetry.io/collector/cmd/builder@v0.161.0';
const prometheus = 'github.com/prometheus/prometheus@v0.316.0';

/** Whether this machine has a Go toolchain; scripts/test.ts reports it if not. */
export const hasGo = spawnSync('go', ['version']).error === undefined;

/** Two minutes on two cores, or four where nothing of it has ever been compiled. */
export const buildTimeoutMs = 900_000;

async function go(args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
	const variables = { ...process.env, GOFLAGS: '-buildvcs=false', GOWORK: 'off', ...env };
	try {
		return (await execute('go', args, { cwd, env: variables, maxBuffer: 64 << 20 })).stdout;
	} catch (error) {
		const { stderr = '' } = error as { stderr?: string };
		throw new Error(`go ${args.join(' ')}: ${stderr.split('\n').slice(-20).join('\n')}`, { cause: error });
	}
}

/** The program of this name and version; `build` makes it in the directory that it is given. */
async function once(name: string, version: string, build: (directory: string) => Promise<string>): Promise<string> {
	const program = join(built, `${name}-${createHash('sha256').update(version).digest('hex').slice(0, 12)}`);
	if (existsSync(program)) return program;
	mkdirSync(built, { recursive: true });
	const directory = mkdtempSync(join(built, `${name}-`));
	try {
		renameSync(await build(directory), program);
	} finally {
		rmSync(directory, { recursive: true });
	}
	return program;
}

/** The OpenTelemetry Collector, by its own builder: the path of the program. */
export function buildCollector(): Promise<string> {
	const version = builder + readFileSync(manifest, 'utf8');
	return once('otelcol', version, async (directory) => {
		await go(['run', builder, `--config=${manifest}`, `--output-path=${directory}`], directory);
		return join(directory, 'otelcol');
	});
}

/** Prometheus, without its service discoveries: the path of the program. */
export function buildPrometheus(): Promise<string> {
	return once('prometheus', prometheus, async (directory) => {
		const { Dir: source } = JSON.parse(await go(['mod', 'download', '-json', prometheus], directory)) as {
			Dir: string;
		};
		const program = join(directory, 'prometheus');
		await go(['build', '-tags', 'remove_all_sd', '-o', program, './cmd/prometheus'], source);
		return program;
	});
}
