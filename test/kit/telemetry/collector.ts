// SPDX-License-Identifier: Apache-2.0
/** Runs the real OpenTelemetry Collector, which writes what it receives into files. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A data point in the JSON of the Collector's file exporter: OTLP/JSON. */
export interface CollectedPoint {
	readonly attributes?: readonly { readonly key: string; readonly value: Readonly<Record<string, string>> }[];
	readonly startTimeUnixNano?: string;
	readonly timeUnixNano: string;
	readonly asInt?: string;
	readonly asDouble?: number;
	readonly count?: string;
	readonly sum?: number;
	readonly bucketCounts?: readonly string[];
	readonly explicitBounds?: readonly number[];
	readonly exemplars?: readonly { readonly traceId: string; readonly spanId: string }[];
}

export interface CollectedMetric {
	readonly name: string;
	readonly unit?: string;
	readonly sum?: {
		readonly aggregationTemporality: number;
		readonly isMonotonic: boolean;
		readonly dataPoints: CollectedPoint[];
	};
	readonly gauge?: { readonly dataPoints: CollectedPoint[] };
	readonly histogram?: { readonly aggregationTemporality: number; readonly dataPoints: CollectedPoint[] };
}

export interface CollectedSpan {
	readonly traceId: string;
	readonly spanId: string;
	readonly name: string;
	/** 2 is SERVER. */
	readonly kind: number;
	readonly startTimeUnixNano: string;
	readonly endTimeUnixNano: string;
	readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
	readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, string>> }[];
}

export interface CollectedRecord {
	readonly timeUnixNano: string;
	readonly eventName: string;
	readonly traceId: string;
	readonly spanId: string;
	readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, string>> }[];
}

/** What a Collector does, other than to write what it receives into files. */
export interface CollectorOptions {
	/**
	 * YAML, with the variables COLLECTOR_ADDRESS, COLLECTOR_HTTP_PORT, COLLECTOR_GRPC_PORT,
	 * COLLECTOR_STORAGE and COLLECTOR_FILES. In the last, a directory, the files metrics.json,
	 * traces.json and logs.json are read.
	 */
	readonly configuration: string;
	/** Further variables. */
	readonly env?: Readonly<Record<string, string>>;
	/** How it is started, such as in another network namespace. Default: as a child of this process. */
	readonly spawn?: (command: string, args: readonly string[], options: SpawnOptions) => ChildProcess;
}

/** A port of 127.0.0.1 that was free a moment ago. */
async function freePort(): Promise<number> {
	const server = createServer().listen(0, '127.0.0.1');
	await once(server, 'listening');
	const { port } = server.address() as { port: number };
	server.close();
	await once(server, 'close');
	return port;
}

export class Collector implements AsyncDisposable {
	readonly #program: string;
	readonly #directory: string;
	readonly #httpPort: number;
	readonly #grpcPort: number;
	#options: CollectorOptions | undefined;
	#child: ChildProcess | undefined;

	private constructor(program: string, directory: string, httpPort: number, grpcPort: number) {
		this.#program = program;
		this.#directory = directory;
		this.#httpPort = httpPort;
		this.#grpcPort = grpcPort;
	}

	/** Resolves when it is ready; rejects with its output if it ends before that. */
	static async start(program: string, options?: CollectorOptions): Promise<Collector> {
		const directory = mkdtempSync(join(tmpdir(), 'toascope-collector-'));
		const collector = new Collector(program, directory, await freePort(), await freePort());
		writeFileSync(join(directory, 'config.yaml'), options?.configuration ?? collector.#configuration());
		collector.#options = options;
		try {
			await collector.again();
		} catch (error) {
			rmSync(directory, { recursive: true });
			throw error;
		}
		return collector;
	}

	#configuration(): string {
		const file = (signal: string) =>
			`{path: ${join(this.#directory, `${signal}.json`)}, flush_interval: 100ms, append: true}`;
		return `
receivers:
  otlp:
    protocols:
      http: {endpoint: "127.0.0.1:${this.#httpPort}"}
      grpc: {endpoint: "127.0.0.1:${this.#grpcPort}"}
exporters:
  file/metrics: ${file('metrics')}
  file/traces: ${file('traces')}
  file/logs: ${file('logs')}
service:
  pipelines:
    metrics: {receivers: [otlp], exporters: [file/metrics]}
    traces: {receivers: [otlp], exporters: [file/traces]}
    logs: {receivers: [otlp], exporters: [file/logs]}
`;
	}

	/** In the form of OTEL_EXPORTER_OTLP_ENDPOINT. */
	endpoint(protocol: string): string {
		return `http://127.0.0.1:${protocol === 'grpc' ? this.#grpcPort : this.#httpPort}`;
	}

	/** Starts it, or starts it again, with the same files and at the same ports. */
	async again(): Promise<void> {
		const { configuration = '', env, spawn: start = spawn } = this.#options ?? {};
		// by default, its own metrics would be served at a fixed port
		const own = /^ {2}telemetry:/m.test(configuration) ? [] : ['--set=service::telemetry::metrics::level=none'];
		const child = start(this.#program, ['--config', join(this.#directory, 'config.yaml'), ...own], {
			stdio: ['ignore', 'ignore', 'pipe'],
			env: {
				...process.env,
				COLLECTOR_ADDRESS: '127.0.0.1',
				COLLECTOR_HTTP_PORT: String(this.#httpPort),
				COLLECTOR_GRPC_PORT: String(this.#grpcPort),
				COLLECTOR_STORAGE: join(this.#directory, 'storage'),
				COLLECTOR_FILES: this.#directory,
				...env,
			},
		});
		this.#child = child;
		let output = '';
		const ready = Promise.withResolvers<void>();
		child.once('error', ready.reject);
		child.once('exit', () => ready.reject(new Error(`the Collector ended: ${output}`)));
		createInterface({ input: child.stderr as NonNullable<ChildProcess['stderr']> }).on('line', (line) => {
			output = `${output}${line}\n`.slice(-4096);
			if (line.includes('Everything is ready')) ready.resolve();
		});
		await ready.promise;
	}

	/** Ends it; with SIGSTOP, it hangs. */
	async signal(signal: NodeJS.Signals): Promise<void> {
		const child = this.#child;
		if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
		const ended = once(child, 'exit');
		child.kill(signal);
		if (signal === 'SIGSTOP' || signal === 'SIGCONT') return;
		await ended;
	}

	#lines<T>(signal: string): T[] {
		const file = join(this.#directory, `${signal}.json`);
		if (!existsSync(file)) return [];
		// the last line can still be incomplete
		const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
		return lines.map((line) => JSON.parse(line) as T);
	}

	/** The metrics that it has written so far, in the order of their arrival. */
	metrics(): CollectedMetric[] {
		interface Line {
			readonly resourceMetrics: { readonly scopeMetrics: { readonly metrics: CollectedMetric[] }[] }[];
		}
		return this.#lines<Line>('metrics').flatMap(({ resourceMetrics }) =>
			resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics)),
		);
	}

	/** The spans that it has written so far. */
	spans(): CollectedSpan[] {
		interface Line {
			readonly resourceSpans: { readonly scopeSpans: { readonly spans: CollectedSpan[] }[] }[];
		}
		return this.#lines<Line>('traces').flatMap(({ resourceSpans }) =>
			resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
		);
	}

	/** The log records that it has written so far. */
	records(): CollectedRecord[] {
		interface Line {
			readonly resourceLogs: { readonly scopeLogs: { readonly logRecords: CollectedRecord[] }[] }[];
		}
		return this.#lines<Line>('logs').flatMap(({ resourceLogs }) =>
			resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords)),
		);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.signal('SIGKILL');
		rmSync(this.#directory, { recursive: true });
	}
}
