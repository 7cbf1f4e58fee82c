// SPDX-License-Identifier: Apache-2.0
/** A real ClickHouse engine: chDB, installed once below build/, behind clickhouse.py. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const root = join(import.meta.dirname, '../../..');
const release = 'chdb==4.4.0';

/**
 * The directory of the Python package, which is installed if necessary. Undefined, with a line for
 * the log, where it cannot be: the tests that require it are then skipped.
 */
export async function installChdb(): Promise<string | undefined> {
	const installed = join(root, 'build/chdb', release);
	if (existsSync(installed)) return installed;
	mkdirSync(join(root, 'build/chdb'), { recursive: true });
	const directory = mkdtempSync(join(root, 'build/chdb/new-'));
	try {
		const options = ['--quiet', '--disable-pip-version-check', '--only-binary=:all:'];
		await execute('python3', ['-m', 'pip', 'install', ...options, '--target', directory, release]);
		renameSync(directory, installed);
		return installed;
	} catch (error) {
		rmSync(directory, { recursive: true });
		const reason = (error as Error).message.split('\n').slice(0, 5).join(' ');
		console.log(`!! ${release} cannot be installed, and the tests that require it are skipped: ${reason}`);
		return undefined;
	}
}

export class ClickHouse implements AsyncDisposable {
	/** In the form of the `endpoint` of the Collector's exporter. */
	readonly endpoint: string;
	readonly #child: ChildProcess;
	readonly #url: string;

	private constructor(child: ChildProcess, port: string) {
		this.#child = child;
		this.#url = `http://127.0.0.1:${port}/`;
		this.endpoint = `http://127.0.0.1:${port}?compress=none`;
	}

	/** `directory`: of installChdb(). */
	static async start(directory: string): Promise<ClickHouse> {
		const child = spawn('python3', [join(import.meta.dirname, 'clickhouse.py')], {
			stdio: ['pipe', 'pipe', 'inherit'],
			env: { ...process.env, PYTHONPATH: directory },
		});
		const lines = createInterface({ input: child.stdout });
		const ended = once(child, 'exit').then(() => {
			throw new Error('the ClickHouse engine ended');
		});
		const [line = ''] = (await Promise.race([once(lines, 'line'), ended])) as string[];
		return new ClickHouse(child, /\d+$/.exec(line)?.[0] ?? '');
	}

	/** The rows of a query; 64-bit integers are strings. */
	async query<Row = Record<string, unknown>>(sql: string): Promise<Row[]> {
		const response = await fetch(this.#url, { method: 'POST', body: sql });
		const text = await response.text();
		if (!response.ok) throw new Error(text);
		return text
			.split('\n')
			.filter((line) => line !== '')
			.map((line) => JSON.parse(line) as Row);
	}

	/** Runs the statements of a file, one by one. */
	async run(sql: string): Promise<void> {
		for (const statement of sql.split(/;$/m)) if (statement.trim() !== '') await this.query(statement);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const ended = once(this.#child, 'exit');
		this.#child.kill('SIGKILL');
		await ended;
	}
}
