// SPDX-License-Identifier: Apache-2.0
/**
 * The output of the daemon is not read: the daemon continues to work and to answer, counts the
 * dropped lines, and stops on a signal.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type DaemonAddress, getFromDaemon } from '../../daemon/client/daemon_client.ts';
import { main } from '../kit/daemon/daemon.ts';
import { parseMetrics, total } from '../kit/telemetry/metrics.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

let directory = '';
beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/**
 * A full pipe that is not read. `pipe` is both ends without blocking; `end` is a write end that
 * blocks, as a process usually inherits it.
 */
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

/** Repeats the request until `done` returns a value for the response. */
async function until<T>(
	address: DaemonAddress,
	path: string,
	done: (status: number, body: string) => T | undefined,
): Promise<T> {
	for (;;) {
		const answer = await getFromDaemon(address, path).catch(() => undefined);
		const result = answer && done(answer.status, answer.body);
		if (result !== undefined) return result;
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

test(
	'standard error is blocked: /readyz answers, dropped lines are counted and later logged, SIGTERM ends the daemon',
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
			// each reload logs a hundred errors in one line
			writeFileSync(config, Array.from({ length: 100 }, (_, at) => `no_such_key_of_toascope_${at}: 1`).join('\n'));
			const dropped = await until({ socket }, '/metrics', (_, body) => {
				child.kill('SIGHUP');
				const { value } = parseMetrics(body).find(({ name }) => name === 'toascope_log_lines_lost_total') ?? {};
				return Number(value) > 0 ? Number(value) : undefined;
			});
			expect((await getFromDaemon({ socket }, '/readyz')).status).toBe(200);
			// the pipe is read again: the waiting lines arrive complete, and one line reports the
			// others
			let text = '';
			const buffer = Buffer.alloc(1 << 20);
			for (;;) {
				try {
					const bytes = readSync(pipe, buffer);
					text += buffer.toString('utf8', 0, bytes);
				} catch {
					await new Promise((resolve) => setTimeout(resolve, 20));
				}
				if (/"msg":"log lines were lost".*\n/.test(text)) break;
			}
			const lines = text
				.split('\n')
				.filter((line) => line !== '')
				.map((line) => JSON.parse(line) as { msg: string; lost?: number });
			expect(lines[0]?.msg).toMatch(/^attached/);
			expect(lines.find(({ msg }) => msg === 'log lines were lost')?.lost).toBeGreaterThanOrEqual(dropped);
			full();
			const began = performance.now();
			child.kill('SIGTERM');
			expect(await ended).toEqual([0, null]);
			expect(performance.now() - began).toBeLessThan(scaleTimeout(5000));
		} finally {
			child.kill('SIGKILL');
			closeSync(pipe);
		}
	},
	scaleTimeout(60_000),
);

test(
	'standard error is blocked: a command that fails exits nevertheless',
	async () => {
		const { pipe, end } = fullPipe('error');
		const child = spawn(process.execPath, [main, 'run', '--config', join(directory, 'none.yaml')], {
			stdio: ['ignore', 'ignore', end],
		});
		try {
			const [code, signal] = await once(child, 'exit', { signal: AbortSignal.timeout(scaleTimeout(20_000)) });
			expect({ code, signal }).toEqual({ code: expect.any(Number), signal: null });
			expect(code).toBeGreaterThan(0);
		} finally {
			child.kill('SIGKILL');
			closeSync(end);
			closeSync(pipe);
		}
	},
	scaleTimeout(30_000),
);

test(
	'standard output of the demo is blocked: its daemon answers, and Ctrl-C ends it',
	async () => {
		const { pipe, end } = fullPipe('demo');
		const url = `http://127.0.0.1:${somePorts(1)}`;
		const child = spawn(process.execPath, [main, 'demo', '--listen', new URL(url).host], {
			stdio: ['ignore', end, 'inherit'],
		});
		closeSync(end);
		const ended = once(child, 'exit');
		try {
			// the first connections of the demo have closed, and would have been printed
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
	scaleTimeout(60_000),
);
