// SPDX-License-Identifier: Apache-2.0
/** The log where it cannot be written, or is not read: the daemon goes on without it. And how its lines look. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, fstatSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LogDestination } from '../../daemon/service/log_destination.ts';
import { patient } from '../fixtures/patience.ts';

const log = new URL('../../daemon/service/log.ts', import.meta.url).href;
const errors = new URL('../../daemon/errors.ts', import.meta.url).href;

/** A stream that waits to get rid of its lines would hold the process up for longer. */
const endMs = patient(5000);

let directory = '';
beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

const args = (program: string) => ['--input-type=module', '-e', program];

/** What became of a process that logs this often in this format, with its log at a path. */
function write(lines: number, format: string, path: string): { status: number | null; said: string } {
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
		return { status, said: String(stdout) };
	} finally {
		closeSync(to);
	}
}

it.each(['json', 'pretty'])('on a full disk, %s: the process ends as ever', (format) => {
	expect(write(2000, format, '/dev/full')).toEqual({ status: 0, said: 'alive' });
});

describe('a reader that stands still', () => {
	const count = 20_000;
	/** Logs more than the reader has room for, says how many lines were lost, and ends when it is told to. */
	const program = `
		const { createLog } = await import('${log}');
		const { logger, linesLost, flush } = createLog({ level: 'info', format: 'json' });
		for (let i = 0; i < ${count}; i++) logger.info({ i }, 'one of many lines, as long as they usually are, or nearly');
		process.stdout.write(String(linesLost()) + '\\n');
		process.stdin.resume();
		process.stdin.once('end', async () => {
			await flush(60_000);
			process.exit(0);
		});
	`;

	async function run(stderr: 'pipe' | number, read: (child: ReturnType<typeof spawn>) => Promise<string>) {
		const child = spawn(process.execPath, args(program), { stdio: ['pipe', 'pipe', stderr] });
		const ended = once(child, 'exit');
		const [said] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
		child.stdin?.end();
		const all = await read(child);
		expect(await ended).toEqual([0, null]);
		const lines = all
			.split('\n')
			.filter((line) => line !== '')
			.map((line) => JSON.parse(line) as { i?: number; msg: string; lost?: number });
		return { lost: Number(said), lines };
	}

	function expectAll({ lost, lines }: Awaited<ReturnType<typeof run>>): void {
		expect(lost).toBeGreaterThan(0);
		// whole lines, in order, from the first on
		expect(lines.slice(0, -1).map(({ i }) => i)).toEqual(Array.from({ length: count - lost }, (_, i) => i));
		expect(lines.at(-1)).toMatchObject({ msg: 'lines of the log were lost', lost });
	}

	it('of a socket, as the journal is', { timeout: patient(60_000) }, async () => {
		// Node.js makes sockets of pipes
		expectAll(await run('pipe', (child) => text(child.stderr as NodeJS.ReadableStream)));
	});

	it('of a pipe', { timeout: patient(60_000) }, async () => {
		const fifo = join(directory, 'pipe');
		execFileSync('mkfifo', [fifo]);
		const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
		const writer = openSync(fifo, constants.O_WRONLY);
		try {
			const read = async () => {
				closeSync(writer);
				const room = Buffer.alloc(1 << 16);
				let all = '';
				for (;;) {
					try {
						const bytes = readSync(reader, room);
						if (bytes === 0) return all;
						all += room.toString('utf8', 0, bytes);
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

	it('and comes back, again and again: what waited takes no room from what waits later', async () => {
		const fifo = join(directory, 'again');
		execFileSync('mkfifo', [fifo]);
		const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
		const fd = openSync(fifo, constants.O_WRONLY);
		try {
			const destination = new LogDestination({ fd, onReaderBack: () => {} });
			// two of them are more than half of what may wait
			const line = `${'x'.repeat(450_000)}\n`;
			const room = Buffer.alloc(1 << 16);
			for (let time = 0; time < 3; time++) {
				for (const each of [line, line]) destination.write(each);
				for (let left = 2 * line.length; left > 0 && destination.lost === 0; ) {
					try {
						left -= readSync(reader, room);
					} catch {
						await destination.flush(1);
					}
				}
			}
			expect(destination.lost).toBe(0);
		} finally {
			closeSync(fd);
			closeSync(reader);
		}
	});

	it('or goes away: what it missed is counted, and said when there is one again', () => {
		const fifo = join(directory, 'gone');
		execFileSync('mkfifo', [fifo]);
		const open = () => openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
		const first = open();
		const fd = openSync(fifo, constants.O_WRONLY);
		let gone = 0;
		const destination = new LogDestination({
			fd,
			onReaderBack: (lost) => destination.write(`lost ${lost}\n`),
			onReaderGone: () => gone++,
		});
		destination.write('one\n');
		closeSync(first);
		for (const line of ['two\n', 'three\n']) destination.write(line);
		expect([destination.lost, gone]).toEqual([2, 2]);
		const second = open();
		destination.write('four\n');
		const room = Buffer.alloc(100);
		// the pipe kept what nobody had read
		expect(room.toString('utf8', 0, readSync(second, room))).toBe('one\nfour\nlost 2\n');
		expect(destination.lost).toBe(2);
		for (const each of [second, fd]) closeSync(each);
	});

	it('or goes away in the middle of a line: the next one begins on a line of its own', async () => {
		const fifo = join(directory, 'halved');
		execFileSync('mkfifo', [fifo]);
		const open = () => openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
		const first = open();
		const fd = openSync(fifo, constants.O_WRONLY);
		const destination = new LogDestination({ fd, onReaderBack: () => {} });
		// more than a pipe holds: its beginning is written, its rest waits, and so does the line behind it
		destination.write(`${'x'.repeat(200_000)}\n`);
		destination.write('behind it\n');
		closeSync(first);
		await destination.flush(patient(1000));
		expect(destination.lost).toBe(2);
		const second = open();
		const room = Buffer.alloc(1 << 20);
		// makes room, where the pipe kept what nobody had read
		let said = '';
		const readAll = () => {
			try {
				for (let count = readSync(second, room); count > 0; count = readSync(second, room))
					said += room.toString('utf8', 0, count);
			} catch {
				// it is empty
			}
		};
		readAll();
		destination.write('after\n');
		readAll();
		expect(said).toMatch(/^x+\nafter\n$/);
		for (const each of [second, fd]) closeSync(each);
	});

	it('for ever: the end waits for it for as long as it was given, and no longer', () => {
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
	it('has the priority of its level before each line', () => {
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

	it('has it before each of the lines of a readable one', () => {
		const calls = "logger.error({ err: new ToascopeError('CONFIG_INVALID', 'one\\ntwo') }, 'reload failed');";
		const lines = logged('pretty', calls, (file) => ({ JOURNAL_STREAM: file }))
			.trim()
			.split('\n');
		expect(lines.length).toBeGreaterThan(2);
		for (const line of lines) expect(line).toMatch(/^<3>/);
	});

	it('has none in a file that is not the journal', () => {
		expect(logged('json', eachLevel, { JOURNAL_STREAM: '9:123456' })).not.toMatch(/^</m);
		expect(logged('json', eachLevel)).not.toMatch(/^</m);
	});
});

describe('a line for machines', () => {
	it('has its message right after level and time, whatever follows', () => {
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

	it('has no stack for an error of the system, and one for what is ours', () => {
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
	/** What escapes begin with. */
	const colours = '\u{1b}[';

	it('has no colours in a file, whatever the environment says of them', () => {
		expect(logged('pretty', eachLevel)).not.toContain(colours);
		expect(logged('pretty', eachLevel, { FORCE_COLOR: '1', COLORTERM: 'truecolor' })).not.toContain(colours);
	});

	/** On a terminal, by script(1). */
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
		'has them on a terminal, unless NO_COLOR is set',
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
