// SPDX-License-Identifier: Apache-2.0
/**
 * A log that cannot be written, or is not read, does not stop the daemon. Also, the format of its
 * lines.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, fstatSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LogDestination } from '../../../daemon/service/log_destination.ts';
import { scaleTimeout } from '../../kit/timeouts.ts';

const log = new URL('../../../daemon/service/log.ts', import.meta.url).href;
const errors = new URL('../../../daemon/errors.ts', import.meta.url).href;

/** A stream that waited until its lines are written would delay the process for longer. */
const endMs = scaleTimeout(5000);

let directory = '';
beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

const args = (program: string) => ['--input-type=module', '-e', program];

/** How a process ends that logs so many lines in this format to the file at a path. */
function write(lines: number, format: string, path: string): { status: number | null; output: string } {
	const program = `
		const { createLogger } = await import('${log}');
		const logger = createLogger({ level: 'info', format: '${format}' });
		for (let i = 0; i < ${lines}; i++) logger.warn({ i }, 'a line of the log');
		process.stdout.write('alive');
	`;
	const to = openSync(path, 'a');
	try {
		const stdio = ['ignore', 'pipe', to] as const;
		const { status, stdout } = spawnSync(process.execPath, args(program), { stdio: [...stdio], timeout: endMs });
		return { status, output: String(stdout) };
	} finally {
		closeSync(to);
	}
}

it.each(['json', 'pretty'])('on a full disk, %s: the process ends normally', (format) => {
	expect(write(2000, format, '/dev/full')).toEqual({ status: 0, output: 'alive' });
});

describe('a stalled reader', () => {
	const count = 20_000;
	/**
	 * Logs more than can be buffered for the reader, prints how many lines were lost, and exits
	 * when its standard input ends.
	 */
	const program = `
		const { createLog } = await import('${log}');
		const { logger, linesDropped, flush } = createLog({ level: 'info', format: 'json' });
		for (let i = 0; i < ${count}; i++) logger.info({ i }, 'one of many lines, as long as they usually are, or nearly');
		process.stdout.write(String(linesDropped()) + '\\n');
		process.stdin.resume();
		process.stdin.once('end', async () => {
			await flush(60_000);
			process.exit(0);
		});
	`;

	async function run(stderr: 'pipe' | number, read: (child: ReturnType<typeof spawn>) => Promise<string>) {
		const child = spawn(process.execPath, args(program), { stdio: ['pipe', 'pipe', stderr] });
		const ended = once(child, 'exit');
		const [printed] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
		child.stdin?.end();
		const all = await read(child);
		expect(await ended).toEqual([0, null]);
		const lines = all
			.split('\n')
			.filter((line) => line !== '')
			.map((line) => JSON.parse(line) as { i?: number; msg: string; lost?: number });
		return { lost: Number(printed), lines };
	}

	function expectAll({ lost, lines }: Awaited<ReturnType<typeof run>>): void {
		expect(lost).toBeGreaterThan(0);
		// whole lines, in order, from the first on
		expect(lines.slice(0, -1).map(({ i }) => i)).toEqual(Array.from({ length: count - lost }, (_, i) => i));
		expect(lines.at(-1)).toMatchObject({ msg: 'log lines were lost', lost });
	}

	it('of a socket, as in the journal', { timeout: scaleTimeout(60_000) }, async () => {
		// Node.js uses sockets for pipes
		expectAll(await run('pipe', (child) => text(child.stderr as NodeJS.ReadableStream)));
	});

	it('of a pipe', { timeout: scaleTimeout(60_000) }, async () => {
		const fifo = join(directory, 'pipe');
		execFileSync('mkfifo', [fifo]);
		const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
		const writer = openSync(fifo, constants.O_WRONLY);
		try {
			const read = async () => {
				closeSync(writer);
				const buffer = Buffer.alloc(1 << 16);
				let all = '';
				for (;;) {
					try {
						const bytes = readSync(reader, buffer);
						if (bytes === 0) return all;
						all += buffer.toString('utf8', 0, bytes);
					} catch {
						await new Promise((resolve) => setTimeout(resolve, 5));
					}
				}
			};
			expectAll(await run(writer, read));
		} finally {
			closeSync(reader);
		}
	});

	it('that resumes repeatedly: earlier lines use up no space for later ones', async () => {
		const fifo = join(directory, 'again');
		execFileSync('mkfifo', [fifo]);
		const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
		const fd = openSync(fifo, constants.O_WRONLY);
		try {
			const destination = new LogDestination({ fd, onResumed: () => {} });
			// two of them are more than half of the limit of waiting bytes
			const line = `${'x'.repeat(450_000)}\n`;
			const buffer = Buffer.alloc(1 << 16);
			for (let time = 0; time < 3; time++) {
				for (const each of [line, line]) destination.write(each);
				for (let left = 2 * line.length; left > 0 && destination.dropped === 0; ) {
					try {
						left -= readSync(reader, buffer);
					} catch {
						await destination.flush(1);
					}
				}
			}
			expect(destination.dropped).toBe(0);
		} finally {
			closeSync(fd);
			closeSync(reader);
		}
	});

	it('that disconnects: lost lines are counted, and reported to the next reader', () => {
		const fifo = join(directory, 'gone');
		execFileSync('mkfifo', [fifo]);
		const open = () => openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
		const first = open();
		const fd = openSync(fifo, constants.O_WRONLY);
		let gone = 0;
		const destination = new LogDestination({
			fd,
			onResumed: (lost) => destination.write(`lost ${lost}\n`),
			onReaderGone: () => gone++,
		});
		destination.write('one\n');
		closeSync(first);
		for (const line of ['two\n', 'three\n']) destination.write(line);
		expect([destination.dropped, gone]).toEqual([2, 2]);
		const second = open();
		destination.write('four\n');
		const buffer = Buffer.alloc(100);
		// the pipe kept what had not been read
		expect(buffer.toString('utf8', 0, readSync(second, buffer))).toBe('one\nfour\nlost 2\n');
		expect(destination.dropped).toBe(2);
		for (const each of [second, fd]) closeSync(each);
	});

	it('that disconnects in the middle of a line: the next message begins on a line of its own', async () => {
		const fifo = join(directory, 'halved');
		execFileSync('mkfifo', [fifo]);
		const open = () => openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
		const first = open();
		const fd = openSync(fifo, constants.O_WRONLY);
		const destination = new LogDestination({ fd, onResumed: () => {} });
		// more than a pipe holds: its beginning is written, the rest and the next line wait
		destination.write(`${'x'.repeat(200_000)}\n`);
		destination.write('behind it\n');
		closeSync(first);
		await destination.flush(scaleTimeout(1000));
		expect(destination.dropped).toBe(2);
		const second = open();
		const buffer = Buffer.alloc(1 << 20);
		// empties the pipe, which kept what had not been read
		let received = '';
		const readAll = () => {
			try {
				for (let count = readSync(second, buffer); count > 0; count = readSync(second, buffer))
					received += buffer.toString('utf8', 0, count);
			} catch {
				// the pipe is empty
			}
		};
		readAll();
		destination.write('after\n');
		readAll();
		expect(received).toMatch(/^x+\nafter\n$/);
		for (const each of [second, fd]) closeSync(each);
	});

	it('that never resumes: the exit waits for the given time, and no longer', () => {
		const fifo = join(directory, 'stuck');
		execFileSync('mkfifo', [fifo]);
		const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
		const writer = openSync(fifo, constants.O_WRONLY);
		try {
			const short = program.replace('60_000', '200');
			const options = { stdio: ['ignore', 'pipe', writer], timeout: endMs } as const;
			const { status } = spawnSync(process.execPath, args(short), { ...options, stdio: [...options.stdio] });
			expect(status).toBe(0);
		} finally {
			closeSync(reader);
			closeSync(writer);
		}
	});
});

/** What a process logs in this format, to a file. */
function logged(
	format: string,
	calls: string,
	env: Readonly<Record<string, string>> | ((file: string) => object) = {},
) {
	const path = join(directory, `log-${Math.random()}`);
	const to = openSync(path, 'a');
	try {
		const program = `
			const { createLogger } = await import('${log}');
			const { ToascopeError } = await import('${errors}');
			const logger = createLogger({ level: 'trace', format: '${format}' });
			${calls}
		`;
		const { dev, ino } = fstatSync(to, { bigint: true });
		const more = typeof env === 'function' ? env(`${dev}:${ino}`) : env;
		execFileSync(process.execPath, args(program), {
			stdio: ['ignore', 'ignore', to],
			env: { ...process.env, JOURNAL_STREAM: '', ...more },
		});
		return readFileSync(path, 'utf8');
	} finally {
		closeSync(to);
	}
}

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];
const eachLevel = levels.map((level) => `logger.${level}('hello');`).join('\n');

describe('for the journal', () => {
	it('starts each line with the priority of its level', () => {
		const lines = logged('json', eachLevel, (file) => ({ JOURNAL_STREAM: file }))
			.trim()
			.split('\n');
		expect(lines.map((line) => /^<(\d)>\{"level":"(\w+)"/.exec(line)?.slice(1).join(' '))).toEqual([
			'7 trace',
			'7 debug',
			'6 info',
			'4 warn',
			'3 error',
			'2 fatal',
		]);
	});

	it('starts each line of a readable message with it', () => {
		const calls = "logger.error({ err: new ToascopeError('CONFIG_INVALID', 'one\\ntwo') }, 'reload failed');";
		const lines = logged('pretty', calls, (file) => ({ JOURNAL_STREAM: file }))
			.trim()
			.split('\n');
		expect(lines.length).toBeGreaterThan(2);
		for (const line of lines) expect(line).toMatch(/^<3>/);
	});

	it('has no priority in a file that is not the journal', () => {
		expect(logged('json', eachLevel, { JOURNAL_STREAM: '9:123456' })).not.toMatch(/^</m);
		expect(logged('json', eachLevel)).not.toMatch(/^</m);
	});
});

describe('a JSON line', () => {
	it('has its message directly after level and time, whatever follows', () => {
		const calls = `logger.info({ much: 'x'.repeat(500), msg2: ',"msg":"no"' }, 'hello "there"\\n');
			logger.child({ of: 'fastify' }).warn({ time: 'noon' }, 'hello');
			logger.error(new Error('alone'));`;
		const [first = '', second = '', third = ''] = logged('json', calls).trim().split('\n');
		for (const line of [first, second, third]) {
			expect(line).toMatch(/^\{"level":"\w+","time":"[^"]{24}","msg":/);
			expect(line.indexOf('"msg":')).toBeLessThan(250);
		}
		expect(JSON.parse(first)).toMatchObject({ msg: 'hello "there"\n', much: 'x'.repeat(500), msg2: ',"msg":"no"' });
		expect(JSON.parse(second)).toMatchObject({ of: 'fastify', msg: 'hello' });
		expect(JSON.parse(third)).toMatchObject({ msg: 'alone', err: { type: 'Error' } });
	});

	it("has no stack for a system error, and one for the daemon's own errors", () => {
		const calls = `
			try { process.kill(process.pid, 0); process.chdir('/none/such'); } catch (err) { logger.error({ err }, 'system'); }
			logger.error({ err: new RangeError('ours') }, 'ours');`;
		const [system, ours] = logged('json', calls)
			.trim()
			.split('\n')
			.map((line) => JSON.parse(line) as { err: object });
		expect(system?.err).toEqual({ code: 'ENOENT', message: expect.stringContaining('/none/such') });
		expect(ours?.err).toMatchObject({ type: 'RangeError', stack: expect.stringContaining('\n') });
	});

	it('has several problems as a list', () => {
		const calls =
			"logger.error({ err: new ToascopeError('CONFIG_INVALID', 'a is wrong\\nb is wrong') }, 'reload failed');";
		expect(JSON.parse(logged('json', calls))).toMatchObject({
			err: { code: 'CONFIG_INVALID', message: '2 problems', problems: ['a is wrong', 'b is wrong'] },
		});
	});
});

describe('a readable line', () => {
	/** The beginning of an escape sequence. */
	const colours = '\u{1b}[';

	it('has no colours in a file, whatever the environment says', () => {
		expect(logged('pretty', eachLevel)).not.toContain(colours);
		expect(logged('pretty', eachLevel, { FORCE_COLOR: '1', COLORTERM: 'truecolor' })).not.toContain(colours);
	});

	/** The output on a terminal, which script(1) provides. */
	function onTerminal(env: Readonly<Record<string, string>>): string {
		const program = `
			const { createLogger } = await import('${log}');
			createLogger({ level: 'info', format: 'auto' }).warn('hello');
		`;
		const command = `'${process.execPath}' --input-type=module -e "$PROGRAM"`;
		const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], {
			env: { ...process.env, NO_COLOR: '', TERM: 'xterm', PROGRAM: program, ...env },
			encoding: 'utf8',
			stdio: ['ignore', 'pipe', 'pipe'],
		});
		return stdout;
	}

	it.skipIf(spawnSync('script', ['--version']).error !== undefined)(
		'has colours on a terminal, unless NO_COLOR is set',
		() => {
			expect(onTerminal({})).toContain(colours);
			const plain = onTerminal({ NO_COLOR: '1' });
			expect(plain).toContain('hello');
			expect(plain).not.toContain(colours);
		},
	);

	it('shows each of several problems on a line of its own', () => {
		const calls =
			"logger.error({ err: new ToascopeError('CONFIG_INVALID', 'a is wrong\\nb is wrong') }, 'reload failed');";
		const lines = logged('pretty', calls).split('\n');
		expect(lines.filter((line) => /^\s*"[ab] is wrong",?$/.test(line))).toHaveLength(2);
	});
});
