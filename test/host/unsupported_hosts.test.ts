// SPDX-License-Identifier: Apache-2.0
/**
 * Hosts and processes that cannot work: one line says what is wrong, one says what to do, and
 * nothing is changed.
 */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { constant } from '../../daemon/capture/records/layout.gen.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { listenOn } from '../kit/daemon/occupied.ts';
import {
	bpffs,
	cgroup,
	configuration,
	directory,
	expectNothingLeft,
	expectRefusal,
	expectStartWithoutHttp,
	own,
	pins,
	port,
	root,
	run,
} from '../kit/daemon/refused_start.ts';
import {
	asNobody,
	inMountNamespace,
	inUserNamespace,
	MemoryLimit,
	unmountAll,
	unusable,
	without,
} from '../kit/daemon/restricted_process.ts';
import { attachExclusively, attachedAt, pinnedLink } from '../kit/kernel/bpf_objects.ts';

expectNothingLeft();

describe('the host', () => {
	test('has no BTF', async () => {
		const by = inMountNamespace('mount -t tmpfs none /sys/kernel/btf');
		expectRefusal(await run([], by), 'NO_BTF', '/sys/kernel/btf/vmlinux is missing', 'CONFIG_DEBUG_INFO_BTF');
	});

	test('has no sysfs', async () => {
		const by = inMountNamespace('mount -t tmpfs none /sys');
		expectRefusal(await run([], by), 'NO_BTF', '/sys is not mounted here', 'mount -t sysfs sysfs /sys');
	});

	test.each([
		['no cgroup v2', []],
		['no cgroup v2, one is configured', [`cgroup: ${cgroup}`]],
	])('has %s', async (_what, lines) => {
		const file = configuration(...lines);
		if (lines.length === 0) writeFileSync(file, `bpf: {pin: ${pins}}\n`);
		const by = inMountNamespace(unmountAll('cgroup2'));
		expectRefusal(await toascope(['run', '--config', file], { by }), 'NO_CGROUP2', 'not mounted', 'mount -t cgroup2');
	});

	test('has no /proc', async () => {
		const by = inMountNamespace('mount -t tmpfs none /proc');
		expectRefusal(await run([], by), 'PROVIDER_UNSUPPORTED', '/proc cannot be read', 'mount -t proc');
	});

	test('has no bpffs, and it cannot be mounted', async () => {
		const by = [...inMountNamespace(unmountAll('bpf')), ...without('sys_admin')];
		expectRefusal(
			await run([], by),
			'NO_BPFFS',
			'bpffs is not mounted and cannot be mounted',
			`mount -t bpf -o mode=0700 bpf ${bpffs}`,
		);
	});

	test.each([
		['', ''],
		[', even if others had been mounted over it and elsewhere', `mount -t bpf bpf ${bpffs}; mount -t bpf bpf /mnt;`],
	])('has no bpffs: the daemon mounts it, and a start that fails later unmounts it again%s', async (_where, others) => {
		const file = join(directory, 'mounts');
		const by = inMountNamespace(`${others} ${unmountAll('bpf')}`, `grep -c ' - bpf ' /proc/self/mountinfo > ${file}`);
		const socket = join(directory, 'taken.sock');
		try {
			await using _other = await listenOn(socket);
			const ended = await run([`http: {listen: off, socket: ${socket}}`], by);
			expectRefusal(ended, 'ALREADY_RUNNING', `is listening on ${socket}`, 'http.socket');
			expect(readFileSync(file, 'utf8')).toBe('0\n');
		} finally {
			rmSync(file, { force: true });
		}
	});

	test('has a read-only bpffs', async () => {
		const by = inMountNamespace(`mount -o remount,bind,ro ${bpffs}`);
		expectRefusal(await run([], by), 'NO_BPFFS', 'read-only', 'remount,rw');
	});

	test('has no memory for the tables, because of the limit of a cgroup', async ({ skip }) => {
		skip(MemoryLimit.root === undefined, 'no memory controller here');
		using limit = new MemoryLimit(400 << 20);
		const huge = 'clients: {capacity: 4194304}';
		const hint = /^ {2}lower clients\.capacity;/;
		expectRefusal(await run([huge], limit.by), 'NO_MEMORY', 'clients.capacity (4194304)', hint);
		expectRefusal(await run([huge, 'bpf: {pin: off}'], limit.by), 'NO_MEMORY', 'clients.capacity (4194304)', hint);
		const table = await run(['connections: {max: 4194304}'], limit.by);
		expectRefusal(table, 'NO_MEMORY', 'connections.max (4194304)', /^ {2}lower connections\.max;/);
	});

	test('has no memory for larger tables: the pinned ones stay as they were', async ({ skip }) => {
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

	test('has another program attached exclusively at the cgroup', async () => {
		await using _elsewhere = await Daemon.start({
			config: `cgroup: ${root}\nlisteners: {ports: [${port}]}\nbpf: {pin: ${pins}}`,
		});
		const detachExclusive = attachExclusively(pinnedLink(pins, 'toascope_sockops'), 'sock_ops', cgroup);
		try {
			const ended = await run(['bpf: {pin: off}']);
			expectRefusal(ended, 'BPF_FAILED', 'toascope_sockops: Operation not permitted', 'attached exclusively');
			expect(attachedAt(cgroup)).toEqual(['toascope_sockops']);
		} finally {
			detachExclusive();
		}
	});
});

describe('Node.js', () => {
	/**
	 * Simulates a future Node.js with other sockets. `change` is the code that runs for each
	 * socket.
	 */
	function other(change: string): string[] {
		const file = join(directory, 'other_node.cjs');
		const server = 'const server = create(...args)';
		writeFileSync(
			file,
			`const http = require('node:http');
			const create = http.createServer;
			http.createServer = (...args) => { ${server}; server.on('connection', (socket) => { ${change} }); return server; };`,
		);
		return ['env', `NODE_OPTIONS=--require=${file}`, 'timeout', '60'];
	}

	test.each([
		['reads a socket with two listeners', "socket.on('data', () => {})", 'not have exactly one data listener'],
		['reads a socket with no listener', "socket.removeAllListeners('data')", 'not have exactly one data listener'],
		[
			'does not expose descriptors',
			"Object.defineProperty(socket._handle, 'fd', { get() {} })",
			'sockets have no descriptor',
		],
	])('%s', async (_what, change, fault) => {
		const by = other(change);
		const ended = await run([], by);
		rmSync(join(directory, 'other_node.cjs'));
		expectRefusal(ended, 'NODE_UNSUPPORTED', fault, 'use Node.js 24');
	});

	test('without HTTP every version works', async () => {
		const by = other("socket.on('data', () => {})");
		const { code, err } = await toascope(['run', '--config', configuration('http: {listen: off, socket: off}')], {
			by,
			when: { output: 'attached: ', act: (child) => child.kill() },
		});
		rmSync(join(directory, 'other_node.cjs'));
		expect({ code }, err).toEqual({ code: 0 });
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
		expectRefusal(ended, 'NO_PRIVILEGE', `requires ${missing}, which this process lacks`, 'run it as root, or give');
	});

	test('lacks the capability that only the demo requires', async () => {
		const ended = await toascope(['demo', '--once'], { by: without('sys_admin') });
		expectRefusal(ended, 'NO_PRIVILEGE', 'the demo requires CAP_SYS_ADMIN, which', 'run it as root');
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

	test('has the capabilities, but owns neither the pins nor the directory of the socket', async ({ skip }) => {
		const by = asNobody('bpf', 'net_admin', 'perfmon');
		const reason = unusable(by);
		skip(reason !== undefined, reason);
		mkdirSync(pins, 0o700);
		try {
			expectRefusal(await run([], by), 'NO_PRIVILEGE', `cannot use ${pins}`, 'set bpf.pin');
		} finally {
			rmdirSync(pins);
		}
		const socket = `http: {listen: off, socket: ${bpffs}/../toascope.sock}`;
		await expectStartWithoutHttp([socket, 'bpf: {pin: off}'], by, 'NO_PRIVILEGE', 'http.socket', 'set http.socket');
	});
});

test('directories that a daemon created for its pins and its socket are removed with it', async () => {
	const socket = join(directory, 'a/b/toascope.sock');
	await using daemon = await Daemon.start({
		config: `${own(`${pins}/a/b`)}\nhttp: {listen: "127.0.0.1:0", socket: ${socket}}`,
	});
	expect(existsSync(socket) && existsSync(`${pins}/a/b`)).toBe(true);
	expect(await daemon.stop()).toBe(0);
	expect(existsSync(join(directory, 'a'))).toBe(false);
});

test('a part of cgroup v2 mounted over its root, as in a container: the daemon runs, and logs this', async () => {
	const by = inMountNamespace(`mount --bind ${cgroup} ${root}`);
	const file = join(directory, 'toascope.yaml');
	writeFileSync(file, `http: {listen: off, socket: off}\nbpf: {pin: off}\nlisteners: {ports: [${port}]}\n`);
	const { code, err } = await toascope(['run', '--config', file], {
		by,
		when: { output: 'sockets outside this container', act: (child) => child.kill() },
	});
	expect(err).toContain('"msg":"this is not the root of cgroup v2: ');
	expect(code).toBe(0);
});

test('pins that cannot be removed at the end: the daemon detaches, and reports what is left and how to remove it', async () => {
	const end = ({ pid }: ChildProcess) => {
		execFileSync('nsenter', ['--mount', `--target=${pid}`, 'mount', '-o', 'remount,bind,ro', bpffs]);
		process.kill(pid ?? 0, 'SIGTERM');
	};
	const { code, err } = await toascope(['run', '--config', configuration()], {
		by: inMountNamespace('true'),
		when: { output: '"attached:', act: end },
	});
	expect(err).toContain(
		`toascope: cannot remove the pins in ${pins}/v${constant.TOASCOPE_LAYOUT}: the file system is read-only [NO_BPFFS]\n`,
	);
	expect(code).toBe(3);
	// detached nevertheless: the links were detached explicitly, and their pins are left
	expect(attachedAt(cgroup)).toEqual([]);
	expect(err).toContain('no program is attached any more; once the bpffs is writable again: rm -r ');
	const command = / (rm -r .*)\n/.exec(err)?.[1] ?? '';
	execFileSync('sh', ['-c', command]);
	expect(attachedAt(cgroup)).toEqual([]);
	rmdirSync(pins);
});
