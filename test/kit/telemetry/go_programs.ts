// SPDX-License-Identifier: Apache-2.0
/**
 * Real receivers of OTLP that no distribution has: built from their Go modules, once, below
 * build/collector/.
 */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { madeOnce } from '../made_once.ts';

const execute = promisify(execFile);
const root = join(import.meta.dirname, '../../..');
const built = join(root, 'build/collector');
const testManifest = join(import.meta.dirname, 'collector/builder.yaml');
const integration = join(root, 'integrations/otelcol');
const processorManifest = join(integration, 'builder.yaml');
const builder = 'go.opentelemetry.io/collector/cmd/builder@v0.161.0';
const prometheus = 'github.com/prometheus/prometheus@v0.316.0';

/** scripts/test.ts reports it if not. */
export const hasGo = spawnSync('go', ['version']).error === undefined;

/** Not optimised, which saves a quarter of the time of a build. */
const gcflags = 'all=-N -l';
const ldflags = '-s -w';
const buildFlags = [`-gcflags=${gcflags}`, `-ldflags=${ldflags}`];

const linesQuoted = 40;

/** What the go command says where it cannot download a module. */
export const unreachable =
	/dial tcp|no such host|connection refused|i\/o timeout|TLS handshake|unexpected status|GOPROXY|proxyconnect/;

/**
 * Resolves to the standard output of the go command.
 * @throws Error with the last lines of its output
 */
export async function go(args: readonly string[], cwd: string): Promise<string> {
	const env = { ...process.env, GOFLAGS: '-buildvcs=false', GOWORK: 'off' };
	try {
		return (await execute('go', args, { cwd, env, maxBuffer: 64 << 20 })).stdout;
	} catch (error) {
		// failures of `go test` are on its standard output
		const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
		const lines = `${stdout}${stderr}`.split('\n');
		throw new Error(`go ${args.join(' ')}: ${lines.slice(-linesQuoted).join('\n')}`, { cause: error });
	}
}

/**
 * The path of a program of this name and version; `build` makes it in the directory that it is given,
 * which takes some minutes on two cores. Undefined, with a line for the log, where there is no Go
 * toolchain, or its modules cannot be downloaded: the tests that require it are then skipped.
 */
async function once(
	name: string,
	version: string,
	build: (directory: string) => Promise<string>,
): Promise<string | undefined> {
	if (!hasGo) return undefined;
	const hash = createHash('sha256').update(version).digest('hex').slice(0, 12);
	return madeOnce(join(built, `${name}-${hash}`), build, unreachable);
}

/**
 * Builds a Collector with the Collector's own builder, in the directory. Resolves to the program.
 * @param optimised for users, and for what is measured
 */
async function runBuilder(manifest: string, directory: string, optimised: boolean): Promise<string> {
	const flags = [...(optimised ? [] : [`--gcflags=${gcflags}`]), `--ldflags=${ldflags}`];
	// paths in a manifest are relative to the tree
	await go(['run', builder, `--config=${manifest}`, `--output-path=${directory}`, ...flags], root);
	const name = /^ {2}name: (\S+)$/m.exec(readFileSync(manifest, 'utf8'))?.[1];
	return join(directory, name ?? '');
}

/** The OpenTelemetry Collector of the tests; see once(). */
export function buildCollector(): Promise<string | undefined> {
	const version = builder + readFileSync(testManifest, 'utf8');
	return once('otelcol', version, (directory) => runBuilder(testManifest, directory, false));
}

/** A Collector with the processor of integrations/otelcol; see once(). */
export function buildProcessorCollector(optimised = false): Promise<string | undefined> {
	const sources = globSync('{builder.yaml,go.mod,go.sum,**/*.go}', { cwd: integration, exclude: ['**/*_test.go'] });
	const texts = sources.sort().map((file) => file + readFileSync(join(integration, file), 'utf8'));
	const version = [builder, String(optimised), ...texts].join('\n');
	return once('otelcol-toascope', version, (directory) => runBuilder(processorManifest, directory, optimised));
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
