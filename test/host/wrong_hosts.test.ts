// SPDX-License-Identifier: Apache-2.0
/** Hosts and configurations that cannot work: one line says what is wrong, one what to do, and nothing is changed. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import {
	chmodSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmdirSync,
	rmSync,
	writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limit } from '../../daemon/capture/layout.gen.ts';
import { findCgroup2, readMounts } from '../../daemon/capture/mounts.ts';
import { type ErrorCode, errorCodes } from '../../daemon/errors.ts';
import { type Ended, toascope } from '../fixtures/command.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { attachAlone, attachedAt, mounts, pinnedLink } from '../fixtures/leftovers.ts';
import { somePorts } from '../fixtures/stage.ts';
import { asNobody, inMountNamespace, inUserNamespace, MemoryLimit, unusable, without } from '../fixtures/wrong_host.ts';

const bpffs = '/sys/fs/bpf';
const pins = `${bpffs}/toascope-test-${process.pid}`;
const port = somePorts(1);
const root = findCgroup2(readMounts()) ?? '';
/** The tests' own, where nobody else attaches. */
const cgroup = join(root, `toascope-test-${process.pid}`);

let directory = '';
let before: readonly string[] = [];
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	chmodSync(directory, 0o777);
	mkdirSync(cgroup);
	before = mounts();
});
afterEach(() => {
	const leftovers = {
		attached: attachedAt(cgroup),
		mounts: mounts(),
		pins: existsSync(pins),
		files: readdirSync(directory).filter((name) => name !== 'toascope.yaml'),
	};
	rmdirSync(cgroup);
	rmSync(directory, { recursive: true });
	expect(leftovers).toEqual({ attached: [], mounts: before, pins: false, files: [] });
});

/** `lines` over what else a run needs here. */
function configuration(...lines: string[]): string {
	const text = lines.join('\n');
	const has = (key: string) => new RegExp(`^${key}:`, 'm').test(text);
	const file = join(directory, 'toascope.yaml');
	const rest = [
		...(has('cgroup') ? [] : [`cgroup: ${cgroup}`]),
		...(has('http') ? [] : [`http: {listen: "127.0.0.1:0", socket: ${directory}/run/toascope.sock}`]),
		...(has('bpf') ? [] : [`bpf: {pin: ${pins}}`]),
		...(has('listeners') ? [] : [`listeners: {ports: [${port}]}`]),
		'log: {format: json}',
		'',
	];
	writeFileSync(file, [text, ...rest].join('\n'));
	chmodSync(file, 0o644);
	return file;
}

/** For a daemon at the tests' own cgroup. */
const own = (pin = pins) => `cgroup: ${cgroup}\nlisteners: {ports: [${port}]}\nbpf: {pin: ${pin}}`;

const run = (lines: readonly string[], by: readonly string[] = []): Promise<Ended> =>
	toascope(['run', '--config', configuration(...lines)], { by });

/** Exactly two lines: what is wrong, and what to do. */
function expectRefusal({ code, out, err }: Ended, error: ErrorCode, message: string | RegExp, hint: string | RegExp) {
	const [first = '', second = '', ...rest] = err.split('\n');
	expect(rest, err).toEqual(['']);
	expect(first.startsWith('toascope: ') && first.endsWith(` [${error}]`), err).toBe(true);
	expect(first).toMatch(message);
	expect(second).toMatch(/^ {2}\S/);
	expect(second).toMatch(hint);
	expect({ code, out }).toEqual({ code: errorCodes[error].exit, out: '' });
}

describe('the host', () => {
	test('has no BTF', async () => {
		const by = inMountNamespace('mount -t tmpfs none /sys/kernel/btf');
		expectRefusal(await run([], by), 'NO_BTF', '/sys/kernel/btf/vmlinux is missing', 'CONFIG_DEBUG_INFO_BTF');
	});

	test.each([
		['no cgroup v2', []],
		['no cgroup v2, one is configured', [`cgroup: ${cgroup}`]],
	])('has %s', async (_what, lines) => {
		const file = configuration(...lines);
		if (lines.length === 0) writeFileSync(file, `bpf: {pin: ${pins}}\n`);
		const by = inMountNamespace(`umount ${root}`);
		expectRefusal(await toascope(['run', '--config', file], { by }), 'NO_CGROUP2', 'not mounted', 'mount -t cgroup2');
	});

	test('has no /proc', async () => {
		const by = inMountNamespace('mount -t tmpfs none /proc');
		expectRefusal(await run([], by), 'PROVIDER_UNSUPPORTED', '/proc cannot be read', 'mount -t proc');
	});

	test('has no bpffs, and it may not be mounted', async () => {
		const by = [...inMountNamespace(`umount ${bpffs}`), ...without('sys_admin')];
		expectRefusal(await run([], by), 'NO_BPFFS', 'it cannot be mounted', `mount -t bpf bpf ${bpffs}`);
	});

	test('has no bpffs: it is mounted, and a start that fails then takes it away again', async () => {
		const said = join(directory, 'mounts');
		const by = inMountNamespace(`umount ${bpffs}`, `grep -c ' - bpf ' /proc/self/mountinfo > ${said}`);
		const ended = await run([`http: {listen: "203.0.113.1:1", socket: off}`], by);
		expectRefusal(ended, 'CONFIG_INVALID', '203.0.113.1:1 is not an address of this host', 'ip address');
		expect(readFileSync(said, 'utf8')).toBe('0\n');
		rmSync(said);
	});

	test('has a read-only bpffs', async () => {
		const by = inMountNamespace(`mount -o remount,bind,ro ${bpffs}`);
		expectRefusal(await run([], by), 'NO_BPFFS', 'read-only', 'remount,rw');
	});

	test('has no memory for the tables: within the limit of a group of processes', async ({ skip }) => {
		skip(MemoryLimit.root === undefined, 'no memory controller here');
		using limit = new MemoryLimit(400 << 20);
		const huge = 'clients: {capacity: 4194304}';
		const hint = /^ {2}lower clients\.capacity;/;
		expectRefusal(await run([huge], limit.by), 'NO_MEMORY', 'clients.capacity (4194304)', hint);
		expectRefusal(await run([huge, 'bpf: {pin: off}'], limit.by), 'NO_MEMORY', 'clients.capacity (4194304)', hint);
		const table = await run(['connections: {max: 4194304}'], limit.by);
		expectRefusal(table, 'NO_MEMORY', 'connections.max (4194304)', /^ {2}lower connections\.max;/);
	});

	test('has no memory for the tables: they are pinned in a smaller size, and stay as they were', async ({ skip }) => {
		skip(MemoryLimit.root === undefined, 'no memory controller here');
		using limit = new MemoryLimit(400 << 20);
		await using first = await Daemon.start({ config: `${own()}\non_exit: keep` });
		const attached = attachedAt(cgroup);
		expect(await first.stop()).toBe(0);
		const ended = await run(['clients: {capacity: 4194304}'], limit.by);
		expectRefusal(ended, 'NO_MEMORY', 'clients.capacity (4194304)', 'lower clients.capacity');
		expect(attachedAt(cgroup)).toEqual(attached);
		await using next = await Daemon.start({ config: own() });
		expect(await next.json('/v1/status')).toMatchObject({ adopted: true });
	});

	test('has no memory for a copy of a table in the daemon', async () => {
		const ended = await run(['clients: {capacity: 4194304}'], ['prlimit', `--data=${900 * 2 ** 20}`]);
		expectRefusal(ended, 'NO_MEMORY', 'for its tables of clients', 'lower clients.capacity');
	});

	test('has another program attached at the cgroup that wants to be alone', async () => {
		await using _elsewhere = await Daemon.start({
			config: `cgroup: ${root}\nlisteners: {ports: [${port}]}\nbpf: {pin: ${pins}}`,
		});
		const alone = attachAlone(pinnedLink(pins, 'toascope_sockops'), 'sock_ops', cgroup);
		try {
			const ended = await run(['bpf: {pin: off}']);
			expectRefusal(ended, 'BPF_FAILED', 'toascope_sockops: Operation not permitted', 'attached exclusively');
			expect(attachedAt(cgroup)).toEqual(['toascope_sockops']);
		} finally {
			alone();
		}
	});
});

describe('the process', () => {
	test.each([
		['all', ['all'], 'CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON'],
		['CAP_BPF', ['bpf', 'sys_admin'], 'CAP_BPF'],
		['CAP_PERFMON', ['perfmon', 'sys_admin'], 'CAP_PERFMON'],
		['CAP_NET_ADMIN', ['net_admin'], 'CAP_NET_ADMIN'],
	])('lacks %s', async (_what, less, missing) => {
		const ended = await run([], without(...less));
		expectRefusal(ended, 'NO_PRIVILEGE', `takes ${missing}, which this process lacks`, 'run it as root, or give');
	});

	test('lacks what the demo takes beside that', async () => {
		const ended = await toascope(['demo', '--once'], { by: without('sys_admin') });
		expectRefusal(ended, 'NO_PRIVILEGE', 'the demo takes CAP_SYS_ADMIN, which', 'run it as root');
	});

	test('is not root', async ({ skip }) => {
		const reason = unusable(asNobody());
		skip(reason !== undefined, reason);
		const ended = await run([], asNobody());
		expectRefusal(ended, 'NO_PRIVILEGE', 'CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON', 'run it as root, or give');
	});

	test('is root of a user namespace', async ({ skip }) => {
		const reason = unusable(inUserNamespace);
		skip(reason !== undefined, reason);
		const ended = await run([], inUserNamespace);
		expectRefusal(ended, 'NO_PRIVILEGE', 'in a user namespace', 'as root of the host');
	});

	test('has the capabilities, but neither the pins nor the socket are its own', async ({ skip }) => {
		const by = asNobody('bpf', 'net_admin', 'perfmon');
		const reason = unusable(by);
		skip(reason !== undefined, reason);
		mkdirSync(pins, 0o700);
		try {
			expectRefusal(await run([], by), 'NO_PRIVILEGE', `may not use ${pins}`, 'set bpf.pin');
		} finally {
			rmdirSync(pins);
		}
		const socket = `http: {listen: off, socket: ${bpffs}/../toascope.sock}`;
		expectRefusal(await run([socket, 'bpf: {pin: off}'], by), 'NO_PRIVILEGE', 'http.socket', 'set http.socket');
	});
});

describe('the configuration', () => {
	test.each<[string, string, ErrorCode, string]>([
		['is missing', '/nowhere/toascope.yaml', 'CONFIG_UNREADABLE', 'no such file or directory'],
		['is a directory', '/proc', 'CONFIG_UNREADABLE', 'is a directory'],
		['is a part of a file', '/etc/passwd/toascope.yaml', 'CONFIG_UNREADABLE', 'a part of the path is no directory'],
	])('%s', async (_what, file, code, message) => {
		const ended = await toascope(['run', '--config', file]);
		expectRefusal(ended, code, `${file}: ${message}`, /./);
	});

	test('may not be read', async ({ skip }) => {
		const reason = unusable(asNobody());
		skip(reason !== undefined, reason);
		const file = configuration();
		chmodSync(file, 0o600);
		const ended = await toascope(['run', '--config', file], { by: asNobody() });
		expectRefusal(ended, 'CONFIG_UNREADABLE', `${file}: permission denied`, 'this user can read');
	});

	test.each([
		['never ends', '/dev/zero', 'is larger than 1 MiB'],
		['is no text', process.execPath, 'is larger than 1 MiB'],
	])('%s', async (_what, file, message) => {
		const { code, out, err } = await toascope(['run', '--config', file]);
		expect({ code, out, err }).toEqual({ code: 2, out: '', err: `toascope: ${file}: ${message} [CONFIG_INVALID]\n` });
	});

	test.each<[string, string, RegExp]>([
		['a word that is no key', 'trusts: []', /:1:1: trusts is no key of toascope, did you mean trust\? /],
		['no YAML', 'trust: }', /:1:\d+: is no valid YAML: /],
		['a network with host bits', 'trust: [10.0.0.1/8]', /trust\[0\] is "10\.0\.0\.1\/8", must have no bits set /],
		[
			'two profiles of one kind and length',
			'profiles: [nat64, {name: x, kind: 253, length: 20, family: ipv6, address_at: 4}]',
			/must not have two profiles of kind 253 and length 20: nat64 and x /,
		],
		[
			'a profile of more than 40 bytes',
			'profiles: [{name: x, kind: 99, length: 41, family: ipv6, address_at: 4}]',
			/length is 41, must be a whole number from 6 to 40 /,
		],
		[
			'an address that is no ADDR:PORT',
			'http: {listen: localhost}',
			/http\.listen is "localhost", must be ADDR:PORT such as /,
		],
	])('has %s', async (_what, line, message) => {
		const { code, out, err } = await run([line]);
		expect(err).toMatch(message);
		expect(err).toMatch(/^toascope: [^\n]+ \[CONFIG_INVALID\]\n$/);
		expect({ code, out }).toEqual({ code: 2, out: '' });
	});

	test('has several mistakes: each has its line', async () => {
		const { code, err } = await run(['trusts: []', 'sockopt: maybe']);
		expect(code).toBe(2);
		expect(err.split('\n')).toHaveLength(3);
	});

	test.each<[string, string, ErrorCode, string]>([
		['below a file', '/etc/passwd/toascope.sock', 'CONFIG_INVALID', 'a file has that name'],
		['where no directory can be made', '/proc/toascope/toascope.sock', 'CONFIG_INVALID', 'no such file or directory'],
		['where no socket can be made', `${bpffs}/toascope`, 'NO_PRIVILEGE', 'not permitted'],
		['in the place of a directory', '/tmp', 'ADDRESS_IN_USE', 'is not a socket'],
	])('has a socket %s', async (_what, socket, code, message) => {
		for (const bpf of ['bpf: {pin: off}', `bpf: {pin: ${pins}}`]) {
			const ended = await run([`http: {listen: off, socket: ${socket}}`, bpf]);
			expectRefusal(ended, code, message, 'set http.socket');
		}
	});

	test('has a cgroup that is a file', async () => {
		const ended = await run([`cgroup: ${cgroup}/cgroup.procs`]);
		expectRefusal(ended, 'CONFIG_INVALID', 'is no directory of cgroup v2', `name one below ${root}`);
	});

	test.each([
		['a part of a file', `${cgroup}/cgroup.procs/pins`, 'is not on a bpffs'],
		['a name with a dot, which bpffs refuses', `${pins}/a.b/c`, 'not permitted'],
	])('has pins at %s', async (_what, pin, message) => {
		expectRefusal(await run([`bpf: {pin: ${pin}}`]), 'NO_BPFFS', message, 'set bpf.pin to a directory');
	});
});

test('directories that a daemon made for its pins and its socket go with it', async () => {
	const socket = join(directory, 'a/b/toascope.sock');
	await using daemon = await Daemon.start({
		config: `${own(`${pins}/a/b`)}\nhttp: {listen: "127.0.0.1:0", socket: ${socket}}`,
	});
	expect(existsSync(socket) && existsSync(`${pins}/a/b`)).toBe(true);
	expect(await daemon.stop()).toBe(0);
	expect(existsSync(join(directory, 'a'))).toBe(false);
});

test('a part of cgroup v2 in the place of its root, as in a container: it runs, and says so', async () => {
	const by = inMountNamespace(`mount --bind ${cgroup} ${root}`);
	const file = join(directory, 'toascope.yaml');
	writeFileSync(file, `http: {listen: off, socket: off}\nbpf: {pin: off}\nlisteners: {ports: [${port}]}\n`);
	const { code, err } = await toascope(['run', '--config', file], {
		by,
		when: { said: 'sockets outside of this container', act: (child) => child.kill() },
	});
	expect(err).toContain('"msg":"this is not the root of cgroup v2: ');
	expect(code).toBe(0);
});

test('pins that cannot be taken away at the end: it says what stays attached, and how to detach it', async () => {
	const end = ({ pid }: ChildProcess) => {
		execFileSync('nsenter', ['--mount', `--target=${pid}`, 'mount', '-o', 'remount,bind,ro', bpffs]);
		process.kill(pid ?? 0, 'SIGTERM');
	};
	const { code, err } = await toascope(['run', '--config', configuration()], {
		by: inMountNamespace('true'),
		when: { said: '"attached:', act: end },
	});
	expect(err).toContain(
		`toascope: cannot take away the pins in ${pins}/v${limit.TOASCOPE_LAYOUT}: the file system is read-only [NO_BPFFS]\n`,
	);
	expect(code).toBe(3);
	expect(attachedAt(cgroup)).toContain('toascope_sockops');
	const command = / (rm -r .*)\n/.exec(err)?.[1] ?? '';
	execFileSync('sh', ['-c', command]);
	expect(attachedAt(cgroup)).toEqual([]);
	rmdirSync(pins);
});
