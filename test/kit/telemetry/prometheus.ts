// SPDX-License-Identifier: Apache-2.0
/** Runs the real Prometheus, with a data directory of its own and on a free port, and promtool. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/**
 * One element of the result of an instant query. Its value is a float64 as text, as Prometheus
 * returns it.
 */
export interface Vector {
	readonly metric: Readonly<Record<string, string>>;
	readonly value: readonly [seconds: number, value: string];
}

/** The samples of one series, as they were scraped. */
export interface Matrix {
	readonly metric: Readonly<Record<string, string>>;
	readonly values: readonly Vector['value'][];
}

/**
 * The metadata of a scraped metric family, as Prometheus parsed it. Only OpenMetrics has a unit.
 */
export interface Metadata {
	readonly type: string;
	readonly help: string;
	readonly unit: string;
}

/** The stored exemplars of one series. */
export interface StoredExemplars {
	readonly seriesLabels: Readonly<Record<string, string>>;
	readonly exemplars: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: string }[];
}

interface Answer<T> {
	readonly status: string;
	readonly error?: string;
	readonly data: T;
}

/** Whether this machine has both programs; scripts/test.ts reports it if not. */
export const hasPrometheus = ['prometheus', 'promtool'].every(
	(name) => spawnSync(name, ['--version']).error === undefined,
);

/** The output of `promtool check metrics` for a scrape; empty if it finds no problem. */
export function checkMetrics(text: string): string {
	const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
	return `${stdout}${stderr}${status === 0 ? '' : `exit code ${status}`}`;
}

export class Prometheus {
	readonly #child: ChildProcess;
	readonly #directory: string;
	readonly #url: string;

	private constructor(child: ChildProcess, directory: string, url: string) {
		this.#child = child;
		this.#directory = directory;
		this.#url = url;
	}

	/**
	 * Starts Prometheus, which scrapes `target` (`ADDR:PORT`; undefined: nothing) every second.
	 * Resolves when it is ready; rejects with its output if it ends before that.
	 * @param program another one than that of the distribution, and its further arguments
	 */
	static async start(
		target: string | undefined,
		program?: readonly [path: string, ...args: string[]],
	): Promise<Prometheus> {
		const directory = mkdtempSync(join(tmpdir(), 'toascope-prometheus-'));
		const config = join(directory, 'prometheus.yml');
		const jobs = target === undefined ? '' : `{job_name: toascope, static_configs: [{targets: ["${target}"]}]}`;
		writeFileSync(config, `global: {scrape_interval: 1s}\nscrape_configs: [${jobs}]\n`);
		if (program === undefined) execFileSync('promtool', ['check', 'config', config], { stdio: 'pipe' });
		const [path, ...args] = program ?? ['prometheus'];
		const child = spawn(
			path,
			[
				`--config.file=${config}`,
				`--storage.tsdb.path=${join(directory, 'data')}`,
				'--web.listen-address=127.0.0.1:0',
				'--log.format=json',
				...args,
			],
			{ stdio: ['ignore', 'ignore', 'pipe'] },
		);
		try {
			return new Prometheus(child, directory, `http://${await untilReady(child)}`);
		} catch (error) {
			rmSync(directory, { recursive: true });
			throw error;
		}
	}

	/** Base URL of its OTLP receiver, in the form of OTEL_EXPORTER_OTLP_ENDPOINT. */
	get otlpEndpoint(): string {
		return `${this.#url}/api/v1/otlp`;
	}

	async #get<T>(path: string, parameters: Readonly<Record<string, string>>): Promise<T> {
		const response = await fetch(`${this.#url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
		const { status, error, data } = (await response.json()) as Answer<T>;
		if (status !== 'success') throw new Error(`${path} ${JSON.stringify(parameters)}: ${error}`);
		return data;
	}

	/**
	 * Runs an instant query, at this time (Unix seconds) or now. A scalar is returned as one
	 * element without labels.
	 */
	async query(expr: string, at?: number): Promise<readonly Vector[]> {
		const { resultType, result } = await this.#get<{
			resultType: string;
			result: readonly Vector[] | Vector['value'];
		}>('query', { query: expr, ...(at !== undefined && { time: String(at) }) });
		if (resultType === 'scalar') return [{ metric: {}, value: result as Vector['value'] }];
		return result as readonly Vector[];
	}

	/** The samples of a range, such as `name[1m]`. */
	async samples(range: string): Promise<readonly Matrix[]> {
		return (await this.#get<{ result: readonly Matrix[] }>('query', { query: range })).result;
	}

	/**
	 * Repeats the query, twice per scrape, until `done` returns a value. The time limit of the test
	 * ends it.
	 */
	async until<T>(expr: string, done: (result: readonly Vector[]) => T | undefined): Promise<T> {
		for (;;) {
			const result = done(await this.query(expr));
			if (result !== undefined) return result;
			await new Promise((resolve) => setTimeout(resolve, 500));
		}
	}

	/** The exemplars of the last hour; they are stored with `--enable-feature=exemplar-storage`. */
	exemplars(selector: string): Promise<readonly StoredExemplars[]> {
		const now = Date.now() / 1000;
		return this.#get('query_exemplars', { query: selector, start: String(now - 3600), end: String(now + 60) });
	}

	/** The metadata by metric family. */
	metadata(): Promise<Readonly<Record<string, readonly Metadata[]>>> {
		return this.#get('metadata', {});
	}

	/** Why the last scrape failed; empty if it succeeded. */
	async lastError(): Promise<string> {
		const { activeTargets } = await this.#get<{ activeTargets: { lastError: string }[] }>('targets', {});
		return activeTargets[0]?.lastError ?? 'no target';
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (this.#child.exitCode === null && this.#child.signalCode === null) {
			const ended = once(this.#child, 'exit');
			this.#child.kill('SIGKILL');
			await ended;
		}
		rmSync(this.#directory, { recursive: true });
	}
}

/** Resolves with the address that Prometheus listens on, once it is ready. */
function untilReady(child: ChildProcess): Promise<string> {
	return new Promise((resolve, reject) => {
		// the two log lines come in either order
		let address: string | undefined;
		let ready = false;
		let output = '';
		child.once('error', reject);
		child.once('exit', () => reject(new Error(`prometheus ended: ${output}`)));
		createInterface({ input: child.stderr as NonNullable<ChildProcess['stderr']> }).on('line', (text) => {
			output = `${output}${text}\n`.slice(-4096);
			const { msg, address: listening } = parseLine(text);
			if (msg === 'Listening on') address = listening;
			ready ||= msg?.startsWith('Server is ready') === true;
			if (ready && address !== undefined) resolve(address);
		});
	});
}

function parseLine(text: string): { msg?: string; address?: string } {
	try {
		return JSON.parse(text) as { msg?: string; address?: string };
	} catch {
		return {};
	}
}
