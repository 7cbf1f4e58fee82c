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

/** scripts/test.ts reports it if not. */
const hasGo = spawnSync('go', ['version']).error === undefined;

/** Not optimised, which saves a quarter of the time of a build. */
const gcflags = 'all=-N -l';
const ldflags = '-s -w';
const buildFlags = [`-gcflags=${gcflags}`, `-ldflags=${ldflags}`];
const builderFlags = [`--gcflags=${gcflags}`, `--ldflags=${ldflags}`];

/** What the go command says where it cannot download a module. */
const unreachable =
	/dial tcp|no such host|connection refused|i\/o timeout|TLS handshake|unexpected status|GOPROXY|proxyconnect/;

async function go(args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
	const variables = { ...process.env, GOFLAGS: '-buildvcs=false', GOWORK: 'off', ...env };
	try {
		return (await execute('go', args, { cwd, env: variables, maxBuffer: 64 << 20 })).stdout;
	} catch (error) {
		const { stderr = '' } = error as { stderr?: string };
		throw new Error(`go ${args.join(' ')}: ${stderr.split('\n').slice(-20).join('\n')}`, { cause: error });
	}
}

/**
 * The path of a program of this name and version; `build` makes it in the directory that it is given,
 * which lasts some minutes on two cores. Undefined, with a line for the log, where there is no Go
 * toolchain, or its modules cannot be downloaded: the tests that require it are then skipped.
 */
async function once(
	name: string,
	version: string,
	build: (directory: string) => Promise<string>,
): Promise<string | undefined> {
	if (!hasGo) return undefined;
	const program = join(built, `${name}-${createHash('sha256').update(version).digest('hex').slice(0, 12)}`);
	if (existsSync(program)) return program;
	mkdirSync(built, { recursive: true });
	const directory = mkdtempSync(join(built, `${name}-`));
	try {
		renameSync(await build(directory), program);
	} catch (error) {
		if (!unreachable.test((error as Error).message)) throw error;
		console.log(`!! ${name} cannot be built, and the tests that require it are skipped: ${(error as Error).message}`);
		return undefined;
	} finally {
		rmSync(directory, { recursive: true });
	}
	return program;
}

/** The OpenTelemetry Collector, by its own builder; see once(). */
export function buildCollector(): Promise<string | undefined> {
	const version = builder + readFileSync(manifest, 'utf8');
	return once('otelcol', version, async (directory) => {
		await go(['run', builder, `--config=${manifest}`, `--output-path=${directory}`, ...builderFlags], directory);
		return join(directory, 'otelcol');
	});
}

/** Prometheus, without its service discoveries; see once(). */
export function buildPrometheus(): Promise<string | undefined> {
	return once('prometheus', prometheus, async (directory) => {
		const { Dir: source } = JSON.parse(await go(['mod', 'download', '-json', prometheus], directory)) as {
			Dir: string;
		};
		const program = join(directory, 'prometheus');
		await go(['build', ...buildFlags, '-tags', 'remove_all_sd', '-o', program, './cmd/prometheus'], source);
		return program;
	});
}
