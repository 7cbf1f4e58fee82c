// SPDX-License-Identifier: Apache-2.0
/**
 * The commands as an operator uses them: what they print, and the exit codes that scripts rely on.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { network } from '../../daemon/lab/lab.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { NotifySocket } from '../kit/daemon/notify_socket.ts';
import { MemoryLimit, without } from '../kit/daemon/restricted_process.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { type Accepted, clientAddress, Stage, somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(2);
let directory = '';
beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, text: string): string {
	const path = join(directory, name);
	writeFileSync(path, text);
	return path;
}

describe('with a daemon and a connection', () => {
	let stage: Stage;
	let daemon: Daemon;
	let held: Accepted;
	let peer = '';

	beforeAll(async () => {
		stage = await Stage.open(port);
		daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}\ntrust: ["${network.pool}"]` });
		held = await stage.connect('AF_INET', 'nat64');
		peer = `${held.accepted.address}:${held.accepted.port}`;
		await daemon.until((samples) => total(samples, 'toascope_handshakes_total', { result: 'toa' }) === 1n || undefined);
	});
	afterAll(async () => {
		await held?.[Symbol.asyncDispose]();
		await daemon?.[Symbol.asyncDispose]();
		await stage?.[Symbol.asyncDispose]();
	});

	test('lookup prints the client, over the socket and over HTTP', async () => {
		for (const where of [
			['--socket', daemon.socket],
			['--url', daemon.url],
		]) {
			const { code, out, err } = await toascope(['lookup', peer, ...where]);
			expect(out).toContain(`${peer} -> [${clientAddress}]:${held.client.port}  on ${network.server}:${port}  nat64/`);
			expect(out).toContain(`probe[${held.probe.pid}]`);
			expect({ code, err, lines: out.split('\n').length }).toEqual({ code: 0, err: '', lines: 2 });
		}
	});

	test('lookup selects by the time and by the local address', async () => {
		const ask = (...args: string[]) => toascope(['lookup', peer, '--socket', daemon.socket, ...args]);
		const { out } = await ask('--local', `${network.server}:${port}`);
		const opened = / opened (\S+), open for /.exec(out)?.[1] ?? '';
		expect(await ask('--at', opened)).toMatchObject({ code: 0, out: expect.stringContaining(clientAddress) });
		expect(await ask('--at', '2001-01-01 00:00:00')).toMatchObject({
			code: 1,
			err: expect.stringContaining(`the latest known one was opened at ${opened}`),
		});
		expect(await ask('--local', '192.0.2.99:1')).toMatchObject({
			code: 1,
			err: expect.stringMatching(
				RegExp(`to 192.0.2.99:1 is known \\[NOT_FOUND\\]\n  its known connections are to ${network.server}:${port}\n$`),
			),
		});
		expect(await ask('--local', '80')).toMatchObject({
			code: 2,
			err: expect.stringContaining("--local: bad address '80'"),
		});
		expect(await ask('--at', 'noon')).toMatchObject({
			code: 2,
			err: expect.stringContaining("'noon' is not a time [USAGE]"),
		});
	});

	test('lookup --json prints the response of the daemon', async () => {
		const { code, out } = await toascope(['lookup', peer, '--json', '--socket', daemon.socket]);
		expect(code).toBe(0);
		expect(JSON.parse(out)).toMatchObject({
			connections: [
				{
					peer: { address: held.accepted.address, port: held.accepted.port },
					local: { address: network.server, port },
					client: { address: clientAddress, port: held.client.port },
					state: 'open',
				},
			],
		});
	});

	test('lookup of an unknown peer: exit code 1, and without --json a line that says so', async () => {
		const text = await toascope(['lookup', '203.0.113.1:1', '--socket', daemon.socket]);
		expect(text).toMatchObject({ code: 1, out: '', err: expect.stringContaining('[NOT_FOUND]') });
		const json = await toascope(['lookup', '203.0.113.1:1', '--json', '--socket', daemon.socket]);
		expect(json).toMatchObject({ code: 1, err: '' });
		expect(JSON.parse(json.out)).toEqual({ connections: [] });
	});

	const badAddresses = ['203.0.113.1', '203.0.113.1:99999', '::1:80', 'localhost:80', ''];
	test.each(badAddresses)('lookup of %j: exit code 2', async (target) => {
		const { code, err } = await toascope(['lookup', target, '--socket', daemon.socket]);
		expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('[BAD_ADDRESS]') });
	});

	test('lookup with a wrong configuration advises to use --socket', async () => {
		const { code, err } = await toascope(['lookup', peer, '--config', file('wrong.yaml', 'trsut: []')]);
		expect({ code, err }).toEqual({
			code: 2,
			err: expect.stringMatching(/CONFIG_INVALID\]\n.* --socket \/run\/\S+\n$/),
		});
	});

	test('lookup where no daemon is listening: exit code 3', async () => {
		const { code, err } = await toascope(['lookup', peer, '--socket', join(directory, 'missing.sock')]);
		expect({ code, err }).toEqual({ code: 3, err: expect.stringContaining('[NOT_RUNNING]') });
	});

	test('lookup and doctor report a daemon that does not answer', async () => {
		daemon.child.kill('SIGSTOP');
		try {
			const [asked, examined] = await Promise.all([
				toascope(['lookup', peer, '--socket', daemon.socket]),
				toascope(['doctor', '--config', daemon.configFile]),
			]);
			expect({ code: asked.code, err: asked.err }).toEqual({
				code: 3,
				err: expect.stringMatching(/: timed out after 5 s \[NOT_RUNNING\]\n(?!.*start it)/),
			});
			expect(examined.out).toMatch(/WARN {2}Daemon .*: timed out after 5 s\n/);
		} finally {
			daemon.child.kill('SIGCONT');
		}
	});

	interface Report {
		readonly can_run: boolean;
		readonly checks: readonly {
			readonly name: string;
			readonly state: string;
			readonly found: string;
			readonly advice?: string;
		}[];
	}
	const named = (report: Report, name: string) => report.checks.find((check) => check.name === name);
	const doctor = async (...args: string[]) => {
		const { code, out, err } = await toascope(['doctor', '--json', '--config', daemon.configFile, ...args]);
		expect(err).toBe('');
		return { code, report: JSON.parse(out) as Report };
	};

	test('doctor finds that toascope can run here, the daemon, and that TOA arrives', async () => {
		const { code, report } = await doctor();
		expect({ code, can_run: report.can_run }).toEqual({ code: 0, can_run: true });
		expect(report.checks.filter(({ state }) => state === 'fail')).toEqual([]);
		expect(named(report, 'programs')).toMatchObject({ state: 'ok' });
		expect(named(report, 'trust')).toMatchObject({ state: 'ok', found: network.pool });
		expect(named(report, 'daemon')).toMatchObject({
			state: 'ok',
			found: expect.stringContaining(`(pid ${daemon.child.pid}, `),
		});
		expect(named(report, 'reload')).toMatchObject({ state: 'ok' });
		expect(named(report, 'toa')).toMatchObject({
			state: 'ok',
			found: expect.stringMatching(/^1 of 1 connections in the last \d+ s have a client$/),
		});
	});

	test('doctor finds a file that was changed and not reloaded', async () => {
		appendFileSync(daemon.configFile, 'transparent: on\n');
		const { code, report } = await doctor();
		expect(code).toBe(0);
		expect(named(report, 'reload')).toMatchObject({
			state: 'warn',
			found: expect.stringContaining('the file was changed since'),
			advice: `kill -HUP ${daemon.child.pid} loads transparent.enabled`,
		});
	});
});

test('doctor: exit code 2 for a wrong configuration, 3 without privileges', async () => {
	const wrong = await toascope(['doctor', '--config', file('wrong.yaml', 'clients: {capacity: many}\n')]);
	expect(wrong.code).toBe(2);
	expect(wrong.out).toMatch(/^FAIL {2}Configuration .*clients\.capacity must be .*\(found: "many"\)/m);
	// with the default socket, it would report what a daemon that runs on this machine has found
	const ownSocket = file('own_socket.yaml', `http: {socket: ${join(directory, 'own.sock')}}\n`);
	const limited = await toascope(['doctor', '--config', ownSocket], { by: without('perfmon', 'sys_admin') });
	expect(limited.code).toBe(3);
	expect(limited.out).toMatch(/^FAIL {2}Privileges .*lacks CAP_PERFMON$/m);
	expect(limited.out).toMatch(/\ntoascope cannot run here: /);
});

test('doctor keeps its exit code when the reader of its output is gone', async () => {
	const ownSocket = file('pipe.yaml', `http: {socket: ${join(directory, 'own.sock')}}\n`);
	const unprivileged = without('perfmon', 'sys_admin');
	const by = [...unprivileged, 'bash', '-c', 'set -o pipefail; "$@" | true', 'bash'];
	expect(await toascope(['doctor', '--config', ownSocket], { by })).toMatchObject({ code: 3, err: '' });
});

test('doctor tests the programs with small maps: it needs no memory for the tables', async ({ skip }) => {
	skip(MemoryLimit.root === undefined, 'no memory controller here');
	using limit = new MemoryLimit(400 << 20);
	const huge = file('huge.yaml', `clients: {capacity: 4194304}\nhttp: {socket: ${join(directory, 'huge.sock')}}\n`);
	const { code, out } = await toascope(['doctor', '--config', huge], { by: limit.by });
	expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^ok {4}Programs and maps /m) });
});

test('config check: exit code 0 with the differences from the defaults, 2 with every problem', async () => {
	const good = await toascope(['config', 'check', file('good.yaml', 'clients: {capacity: 1000}\n')]);
	expect(good).toMatchObject({ code: 0, out: expect.stringContaining('clients.capacity: 1000 (default: 65536)') });
	const bad = await toascope(['config', 'check', file('bad.yaml', 'clients: {capacity: x}\nfoo: 1\n')]);
	expect(bad.code).toBe(2);
	expect(bad.out).toMatch(/bad\.yaml:1:\d+: clients\.capacity must be .*\(found: "x"\)/);
	expect(bad.out).toMatch(/bad\.yaml:2:\d+: unknown key "foo"/);
	const missing = await toascope(['config', 'check', join(directory, 'missing.yaml')]);
	expect(missing.code).toBe(3);
	expect(missing.err).toContain('[CONFIG_UNREADABLE]');
	const json = await toascope(['config', 'check', '--json', join(directory, 'bad.yaml')]);
	expect(json.code).toBe(2);
	expect(JSON.parse(json.out)).toMatchObject({ ok: false, code: 'CONFIG_INVALID', problems: [{}, {}] });
});

test.each([
	['an unknown command', ['nonsense'], /unknown command 'nonsense'/],
	['an unknown option', ['run', '--nonsense'], /unknown option '--nonsense'/],
	['an option without its value', ['run', '--config'], /argument missing/],
	['a missing argument', ['lookup'], /missing required argument/],
	['one argument too many', ['run', 'now'], /too many arguments/],
	[
		'a URL that is not an http URL',
		['lookup', '192.0.2.1:1', '--url', 'ftp://127.0.0.1'],
		/ftp:\/\/127.0.0.1 is not an http URL \[USAGE\]/,
	],
	['a URL without a scheme', ['lookup', '192.0.2.1:1', '--url', '127.0.0.1:1'], /\n {2}write http:\/\/127.0.0.1:1\n$/],
	[
		'an https URL',
		['lookup', '192.0.2.1:1', '--url', 'https://127.0.0.1'],
		/https:\/\/127.0.0.1: toascope does not support TLS/,
	],
	[
		'a value that is not a number',
		['demo', '--clients', 'many'],
		/option '--clients <n>' argument 'many' .* must be a whole number above 0/,
	],
	[
		'--connections without --once',
		['demo', '--connections', '5'],
		/^toascope: --connections requires --once \[USAGE\]\n {2}add --once\n$/,
	],
	['a typo', ['config', 'chek'], /\n {2}did you mean check\? npm run toascope -- config --help says more\n$/],
])('wrong usage, %s: exit code 2', async (_what, args, message) => {
	const { code, out, err } = await toascope(args);
	expect({ code, out }).toEqual({ code: 2, out: '' });
	expect(err).toMatch(message);
	expect(err).toMatch(/^toascope: .+ \[USAGE\]\n {2}.+\n$/);
});

test('--help and --version: exit code 0; the help of every command lists its exit codes', async () => {
	expect(await toascope(['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('doctor') });
	for (const command of [[], ['run'], ['demo'], ['lookup'], ['doctor'], ['config', 'check']]) {
		const { code, out } = await toascope([...command, '--help']);
		expect(code).toBe(0);
		expect(out).toMatch(/\nExit codes:\n {2}0 {2}\S.*\n {2}1 {2}\S.*\n {2}2 {2}\S/);
	}
	expect(await toascope(['--version'])).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
});

test('the JSON log has the level as a word and the time as RFC 3339', async () => {
	const { err } = await toascope(
		[
			'run',
			'--config',
			file(
				'log.yaml',
				'http: {listen: off, socket: off}\nbpf: {pin: off}\nlisteners: {ports: [1]}\nlog: {format: json}\n',
			),
		],
		{ when: { output: '"attached', act: (child) => child.kill() } },
	);
	const lines = err
		.trimEnd()
		.split('\n')
		.map((line) => JSON.parse(line) as { level: string; time: string });
	for (const { level, time } of lines) {
		expect(level).toMatch(/^(info|warn)$/);
		expect(new Date(time).toISOString()).toBe(time);
	}
	expect(lines.map(({ level }) => level)).toContain('warn');
});

test('npm stops the daemon when it gets SIGTERM', async () => {
	const quiet = 'http: {listen: off, socket: off}\nbpf: {pin: off}\nlisteners: {ports: [1]}\nlog: {format: json}\n';
	const args = ['run', '--silent', 'toascope', '--', 'run', '--config', file('npm.yaml', quiet)];
	const npm = spawn('npm', args, { stdio: ['ignore', 'ignore', 'pipe'] });
	const ended = once(npm, 'exit');
	const daemon = await new Promise<number>((resolve, reject) => {
		createInterface({ input: npm.stderr }).on('line', (line) => {
			if (line.includes('"attached')) resolve((JSON.parse(line) as { pid: number }).pid);
		});
		ended.then(() => reject(new Error('npm ended before the daemon had attached')));
	});
	npm.kill('SIGTERM');
	await ended;
	// throws ESRCH, since the daemon has ended; a daemon that still ran would be ended here
	expect(() => process.kill(daemon)).toThrow('ESRCH');
});

test('systemd is notified: ready, reloading and ready again, also when the reload fails, stopping', async () => {
	const socket = join(directory, 'notify.sock');
	await using systemd = await NotifySocket.open(socket);
	await using daemon = await Daemon.start({
		config: `listeners: {ports: [${port}]}`,
		env: { NOTIFY_SOCKET: socket },
	});
	await systemd.until(/^READY=1$/);
	await daemon.reload('nonsense: 1\n');
	expect(await daemon.stop()).toBe(0);
	await systemd.until(/^STOPPING=1$/);
	expect(systemd.states.filter((state) => !state.startsWith('STATUS='))).toEqual([
		'READY=1',
		'RELOADING=1',
		'READY=1',
		'STOPPING=1',
	]);
	expect(systemd.states).toContain('STATUS=ready');
});

test('a missing notification socket of systemd: the log says so, and the daemon runs', async () => {
	const env = { NOTIFY_SOCKET: join(directory, 'missing.sock') };
	const config = `listeners: {ports: [${port}]}`;
	await using daemon = await Daemon.start({ config, env });
	await daemon.reload(config);
	expect(await daemon.stop()).toBe(0);
	const failures = daemon.log.filter(({ msg }) => msg.startsWith('could not notify systemd'));
	// the log has one line: if one notification fails, all do
	expect(failures.map(({ state }) => state)).toEqual(['STATUS=ready']);
});
