// SPDX-License-Identifier: Apache-2.0
/** Nobody reads what the daemon says: it goes on, answers, counts what was lost, and ends when it is told to. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ask, type Place } from '../../daemon/doctor/ask.ts';
import { main } from '../fixtures/daemon.ts';
import { parseMetrics, total } from '../fixtures/metrics.ts';
import { patient } from '../fixtures/patience.ts';
import { somePorts } from '../fixtures/stage.ts';

let directory = '';
beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A pipe that nobody reads: both ends at once, and one to write that waits, as whoever starts a process has it. */
function fullPipe(name: string) {
	const fifo = join(directory, name);
	execFileSync('mkfifo', [fifo]);
	const pipe = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
	const fill = Buffer.alloc(4096, '\n');
	const full = () => {
		try {
			for (;;) writeSync(pipe, fill);
		} catch (error) {
			expect((error as NodeJS.ErrnoException).code).toBe('EAGAIN');
		}
	};
	full();
	return { pipe, end: openSync(fifo, constants.O_WRONLY), full };
}

/** Asks until there is an answer that `done` takes. */
async function until<T>(place: Place, path: string, done: (status: number, body: string) => T | undefined): Promise<T> {
	for (;;) {
		const answer = await ask(place, path).catch(() => undefined);
		const result = answer && done(answer.status, answer.body);
		if (result !== undefined) return result;
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

test(
	'standard error stands still: /readyz answers, lines are counted, it says so later, and SIGTERM ends it',
	async () => {
		const { pipe, end, full } = fullPipe('log');
		const socket = join(directory, 'toascope.sock');
		const config = join(directory, 'toascope.yaml');
		const good = `listeners: {ports: [${somePorts(1)}]}\nbpf: {pin: off}\nlog: {format: json}\nhttp: {listen: off, socket: ${socket}}\n`;
		writeFileSync(config, good);
		const child = spawn(process.execPath, [main, 'run', '--config', config], { stdio: ['ignore', 'ignore', end] });
		closeSync(end);
		const ended = once(child, 'exit');
		try {
			await until({ socket }, '/readyz', (status) => (status === 200 ? true : undefined));
			// each reload says a hundred lines in one
			writeFileSync(config, Array.from({ length: 100 }, (_, at) => `no_such_key_of_toascope_${at}: 1`).join('\n'));
			const lost = await until({ socket }, '/metrics', (_, body) => {
				child.kill('SIGHUP');
				const { value } = parseMetrics(body).find(({ name }) => name === 'toascope_log_lines_lost_total') ?? {};
				return Number(value) > 0 ? Number(value) : undefined;
			});
			expect((await ask({ socket }, '/readyz')).status).toBe(200);
			// the reader is back: what waited comes, whole, and a line for what did not
			let text = '';
			const room = Buffer.alloc(1 << 20);
			for (;;) {
				try {
					const bytes = readSync(pipe, room);
					text += room.toString('utf8', 0, bytes);
				} catch {
					await new Promise((resolve) => setTimeout(resolve, 20));
				}
				if (/"msg":"lines of the log were lost".*\n/.test(text)) break;
			}
			const lines = text
				.split('\n')
				.filter((line) => line !== '')
				.map((line) => JSON.parse(line) as { msg: string; lost?: number });
			expect(lines[0]?.msg).toMatch(/^attached/);
			expect(lines.find(({ msg }) => msg === 'lines of the log were lost')?.lost).toBeGreaterThanOrEqual(lost);
			full();
			const began = performance.now();
			child.kill('SIGTERM');
			expect(await ended).toEqual([0, null]);
			expect(performance.now() - began).toBeLessThan(patient(5000));
		} finally {
			child.kill('SIGKILL');
			closeSync(pipe);
		}
	},
	patient(60_000),
);

test(
	'an error that nobody reads: the command that failed ends all the same',
	async () => {
		const { pipe, end } = fullPipe('error');
		const child = spawn(process.execPath, [main, 'run', '--config', join(directory, 'none.yaml')], {
			stdio: ['ignore', 'ignore', end],
		});
		try {
			const [code, signal] = await once(child, 'exit', { signal: AbortSignal.timeout(patient(20_000)) });
			expect({ code, signal }).toEqual({ code: expect.any(Number), signal: null });
			expect(code).toBeGreaterThan(0);
		} finally {
			child.kill('SIGKILL');
			closeSync(end);
			closeSync(pipe);
		}
	},
	patient(30_000),
);

test(
	'standard output of the demo stands still: its daemon answers, and Ctrl-C ends it',
	async () => {
		const { pipe, end } = fullPipe('demo');
		const url = `http://127.0.0.1:${somePorts(1)}`;
		const child = spawn(process.execPath, [main, 'demo', '--listen', new URL(url).host], {
			stdio: ['ignore', end, 'inherit'],
		});
		closeSync(end);
		const ended = once(child, 'exit');
		try {
			// the demo's first connections are over, and would have been shown
			await until({ url }, '/metrics', (_, body) => {
				const closed = total(parseMetrics(body), 'toascope_connections_closed_total');
				return closed > 3n ? true : undefined;
			});
			child.kill('SIGINT');
			expect(await ended).toEqual([0, null]);
		} finally {
			child.kill('SIGKILL');
			closeSync(pipe);
		}
	},
	patient(60_000),
);
