// SPDX-License-Identifier: Apache-2.0
/**
 * Services with the OpenTelemetry instrumentation of their language, as its users install it: from
 * the registries, once, below build/instrumented/.
 */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { madeOnce } from '../made_once.ts';
import { go, hasGo } from '../telemetry/go_programs.ts';

const execute = promisify(execFile);
const sources = import.meta.dirname;
const built = join(sources, '../../../build/instrumented');
const javaAgent = 'io.opentelemetry.javaagent:opentelemetry-javaagent:2.31.1';

export interface Service {
	readonly name: string;
	/** The command that serves HTTP at a port on 0.0.0.0. */
	command(port: number): readonly string[];
	readonly env: Readonly<Record<string, string>>;
}

const hasCommand = (name: string) => spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined;

const read = (file: string) => readFileSync(join(sources, file), 'utf8');

/** The directory that `install` fills, once for each version. */
function installed(
	name: string,
	version: string,
	install: (directory: string) => Promise<unknown>,
): Promise<string | undefined> {
	const hash = createHash('sha256').update(version).digest('hex').slice(0, 12);
	return madeOnce(join(built, `${name}-${hash}`), async (directory) => {
		await install(directory);
		return directory;
	});
}

async function nodeServices(): Promise<Service[]> {
	const packages = await installed('node', read('node/package-lock.json'), async (directory) => {
		for (const file of ['package.json', 'package-lock.json'])
			cpSync(join(sources, 'node', file), join(directory, file));
		await execute('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: directory });
	});
	if (packages === undefined) return [];
	const register = join(packages, 'node_modules/@opentelemetry/auto-instrumentations-node/build/src/register.js');
	return [
		{
			name: 'node',
			command: (port) => [process.execPath, '--require', register, join(sources, 'node/server.cjs'), String(port)],
			env: {},
		},
	];
}

async function pythonServices(): Promise<Service[]> {
	if (!hasCommand('python3')) return [];
	const packages = await installed('python', read('python/requirements.txt'), (directory) =>
		execute('python3', [
			...['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--target', directory],
			...['--requirement', join(sources, 'python/requirements.txt')],
		]),
	);
	if (packages === undefined) return [];
	const instrument = join(packages, 'bin/opentelemetry-instrument');
	const command = (port: number) => ['python3', instrument, 'python3', join(sources, 'python/server.py'), String(port)];
	const env = { PYTHONPATH: packages };
	return [
		{ name: 'python', command, env },
		{ name: 'python-http', command, env: { ...env, OTEL_SEMCONV_STABILITY_OPT_IN: 'http' } },
		{ name: 'python-dup', command, env: { ...env, OTEL_SEMCONV_STABILITY_OPT_IN: 'http/dup' } },
	];
}

async function goServices(): Promise<Service[]> {
	if (!hasGo) return [];
	const program = await installed('go', read('go/go.sum') + read('go/main.go'), (directory) =>
		go(['build', '-o', join(directory, 'server'), '.'], join(sources, 'go')),
	);
	return program === undefined
		? []
		: [{ name: 'go', command: (port) => [join(program, 'server'), String(port)], env: {} }];
}

async function javaServices(): Promise<Service[]> {
	if (!hasCommand('mvn') || !hasCommand('javac')) return [];
	const files = await installed('java', javaAgent + read('../apps/PlainServer.java'), async (directory) => {
		await execute('mvn', ['-q', 'dependency:copy', `-Dartifact=${javaAgent}`, `-DoutputDirectory=${directory}`]);
		await execute('javac', ['-d', directory, join(sources, '../apps/PlainServer.java')]);
	});
	if (files === undefined) return [];
	const agent = join(files, `opentelemetry-javaagent-${javaAgent.split(':')[2]}.jar`);
	const options = [`-javaagent:${agent}`, '-Djava.net.preferIPv4Stack=true', '-cp', files];
	return [{ name: 'java', command: (port) => ['java', ...options, 'PlainServer', String(port), '/dev/null'], env: {} }];
}

/** All services that this machine can run. */
export async function instrumentedServices(): Promise<Service[]> {
	mkdirSync(built, { recursive: true });
	const made = await Promise.all([nodeServices(), pythonServices(), goServices(), javaServices()]);
	return made.flat();
}

/** The environment in which a service sends its spans to this endpoint, by OTLP over HTTP, at once. */
export function exporterEnvironment(endpoint: string): Record<string, string> {
	return {
		OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
		OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
		OTEL_METRICS_EXPORTER: 'none',
		OTEL_LOGS_EXPORTER: 'none',
		OTEL_BSP_SCHEDULE_DELAY: '50',
		// the files in which these look for the instance's cloud are not on every machine
		OTEL_NODE_RESOURCE_DETECTORS: 'env,host,os,process',
	};
}
