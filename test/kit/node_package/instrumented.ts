// SPDX-License-Identifier: Apache-2.0
/** Instrumented applications that use @toascope/node, with the real SDK and instrumentations. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageDirectory } from './built.ts';
import { installed, withPackage } from './scratch.ts';
import { selfSigned } from './self_signed.ts';

const dependencies = {
	'@opentelemetry/api': '1.10.0',
	'@opentelemetry/auto-instrumentations-node': '0.82.0',
	'@opentelemetry/exporter-trace-otlp-proto': '0.301.0',
	'@opentelemetry/instrumentation-http': '0.301.0',
	'@opentelemetry/sdk-node': '0.301.0',
	'@opentelemetry/sdk-trace': '3.1.0',
	express: '5.3.0',
	fastify: '5.12.8',
};

const ours = ['--import', '@toascope/node/register'];
const theirs = ['--import', '@opentelemetry/auto-instrumentations-node/register'];

/** How each application is started, with the protocols that it serves, on consecutive ports. */
export const applications = {
	'examples/fastify.mjs, incomingSpanHook': [['http'], '--import', './tracing.mjs', 'fastify.mjs'],
	'examples/express.mjs, incomingSpanHook': [['http'], '--import', './tracing.mjs', 'express.mjs'],
	'examples/fastify.mjs, register before the instrumentations': [['http'], ...ours, ...theirs, 'fastify.mjs'],
	'examples/express.mjs, register after the instrumentations': [['http'], ...theirs, ...ours, 'express.mjs'],
	'http, https and http2, incomingSpanHook': [['http', 'https', 'h2'], '--import', './tracing.mjs', 'web.cjs'],
	'http, https and http2, ToascopeSpanProcessor': [['http', 'https', 'h2'], '--import', './processor.mjs', 'web.cjs'],
} as const satisfies Readonly<Record<string, readonly [readonly ('http' | 'https' | 'h2')[], ...string[]]>>;

export type ApplicationName = keyof typeof applications;

export class Instrumented implements Disposable {
	readonly directory: string;

	private constructor(directory: string) {
		this.directory = directory;
	}

	/** Resolves to undefined where the packages cannot be installed. */
	static async create(): Promise<Instrumented | undefined> {
		const packages = await installed(dependencies);
		if (packages === undefined) return undefined;
		const created = new Instrumented(mkdtempSync(join(tmpdir(), 'toascope-test-')));
		const { directory } = created;
		try {
			await withPackage(packages, directory);
			for (const programs of [join(packageDirectory, 'examples'), join(import.meta.dirname, 'apps')]) {
				cpSync(programs, directory, { recursive: true });
			}
			const { key, cert } = selfSigned();
			writeFileSync(join(directory, 'key.pem'), key);
			writeFileSync(join(directory, 'cert.pem'), cert);
			return created;
		} catch (error) {
			created[Symbol.dispose]();
			throw error;
		}
	}

	/** The environment of an application that exports to the address. */
	environment(name: ApplicationName, port: number, endpoint: string): NodeJS.ProcessEnv {
		return {
			...process.env,
			PORT: String(port),
			KEY: join(this.directory, 'key.pem'),
			CERT: join(this.directory, 'cert.pem'),
			CLIENT_ATTRIBUTES: name.endsWith('incomingSpanHook') ? '1' : '0',
			OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
			OTEL_METRICS_EXPORTER: 'none',
			OTEL_LOGS_EXPORTER: 'none',
			OTEL_NODE_RESOURCE_DETECTORS: 'none',
			OTEL_BSP_SCHEDULE_DELAY: '100',
		};
	}

	[Symbol.dispose](): void {
		rmSync(this.directory, { recursive: true, force: true });
	}
}
