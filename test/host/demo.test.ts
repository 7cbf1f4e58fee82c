// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope demo` resolves every connection to the client that made it, and leaves nothing behind,
 * however it ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toascope } from '../kit/daemon/command.ts';
import { main } from '../kit/daemon/daemon.ts';
import { takenPort } from '../kit/daemon/occupied.ts';
import { allGone, type KernelObjects, kernelObjectsOf, mounts } from '../kit/kernel/bpf_objects.ts';

let mountsBefore: string[] = [];
beforeEach(() => {
	mountsBefore = mounts();
});
afterEach(() => expect(mounts()).toEqual(mountsBefore));

function demo(...args: string[]): ChildProcess {
	return spawn(process.execPath, [main, 'demo', '--listen', '127.0.0.1:0', ...args], {
		stdio: ['ignore', 'pipe', 'inherit'],
	});
}

const output = (child: ChildProcess) => child.stdout as NonNullable<ChildProcess['stdout']>;

function isLabClient(pid: number): boolean {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('lab/client.ts');
	} catch {
		return false; // the process has ended
	}
}

/**
 * Resolves when the demo shows connections, with all kernel objects that it has by then: both the
 * lab and the daemon are running.
 */
async function running(child: ChildProcess): Promise<KernelObjects> {
	for await (const line of createInterface({ input: output(child) })) if (/2001:db8:c::/.test(line)) break;
	const had = kernelObjectsOf(child.pid ?? 0);
	expect(had.namespaces).toHaveLength(3);
	expect(had.links.length).toBeGreaterThanOrEqual(6);
	expect(had.processes.length).toBeGreaterThanOrEqual(6);
	return had;
}

test('--once --json: prints one object, resolves every connection, and leaves nothing behind', async () => {
	const child = demo('--once', '--clients', '50', '--connections', '500', '--json');
	const ended = once(child, 'exit');
	const printed = await text(output(child));
	await ended;
	expect(child.exitCode).toBe(0);
	expect(printed.trim().split('\n')).toHaveLength(1);
	expect(JSON.parse(printed)).toMatchObject({
		provider: 'bpf',
		clients: 50,
		connections: 500,
		resolved: 500,
		mismatched: 0,
	});
});

test.each([
	['SIGINT', 0],
	['SIGTERM', 0],
	['SIGHUP', 0],
	['SIGKILL', null],
] as const)('ended by %s while it runs: leaves nothing behind', async (signal, code) => {
	const child = demo();
	const had = await running(child);
	const ended = once(child, 'exit');
	child.kill(signal);
	await ended;
	expect(child.exitCode).toBe(code);
	await allGone(had);
});

test.each([
	['SIGINT', 1],
	['SIGTERM', 1],
	['SIGKILL', null],
] as const)('--once ended by %s in the middle: prints nothing, and leaves nothing behind', async (signal, code) => {
	const child = demo('--once', '--connections', '1000000', '--json');
	const ended = once(child, 'exit');
	const printed = text(output(child));
	let had = kernelObjectsOf(child.pid ?? 0);
	// the lab's client is the last to start
	while (had.links.length < 6 || !had.processes.some(isLabClient)) {
		if (child.exitCode !== null) throw new Error(`the demo ended with ${child.exitCode}`);
		await new Promise(setImmediate);
		had = kernelObjectsOf(child.pid ?? 0);
	}
	child.kill(signal);
	await ended;
	expect(child.exitCode).toBe(code);
	expect(await printed).toBe('');
	await allGone(had);
});

test('killed, and started again: works, and leaves nothing behind', async () => {
	const first = demo();
	const had = await running(first);
	const killed = once(first, 'exit');
	first.kill('SIGKILL');
	await killed;
	const second = demo('--once', '--clients', '20', '--connections', '100', '--json');
	const ended = once(second, 'exit');
	expect(JSON.parse(await text(output(second)))).toMatchObject({ resolved: 100, mismatched: 0 });
	await ended;
	expect(second.exitCode).toBe(0);
	await allGone(had);
});

test('--backend: a server of this host sees the real clients, and Ctrl-C prints the totals', async () => {
	const { promise: seen, resolve } = Promise.withResolvers<string>();
	await using server = createServer((request, response) => {
		resolve(request.socket.remoteAddress ?? '');
		response.end('hello');
	}).listen(0, '::');
	await once(server, 'listening');
	const child = demo('--backend', String((server.address() as AddressInfo).port));
	const ended = once(child, 'exit');
	const lines = createInterface({ input: output(child) })[Symbol.asyncIterator]();
	for (;;) {
		const { value, done } = await lines.next();
		if (done === true) throw new Error('the demo ended');
		if (/^127\.100\.0\.\d+:\d+ +-> \[2001:db8:c::/.test(value)) break;
	}
	expect(await seen).toMatch(/^2001:db8:c::/);
	child.kill('SIGINT');
	let last = '';
	for (;;) {
		const { value, done } = await lines.next();
		if (done === true) break;
		last = value;
	}
	await ended;
	expect(child.exitCode).toBe(0);
	expect(last).toMatch(/^\d+ connections of \d+ clients through NAT64 in \d+ s: \d+ resolved to the client/);
	expect(last).toContain(', 0 to another, ');
});

test.each([
	[
		'--backend where nothing listens',
		['--backend', '1'],
		1,
		/^toascope: cannot connect to 127\.0\.0\.1:1: .*LAB_FAILED\]\n {2}start your server first/,
	],
	['more clients than the lab has', ['--clients', '65536'], 2, /the lab has at most 65535 clients \[USAGE\]/],
	['--backend with --once', ['--backend', '80', '--once'], 2, /--backend cannot be combined with --once \[USAGE\]/],
])('%s', async (_what, args, code, message) => {
	const ended = await toascope(['demo', ...args]);
	expect(ended).toMatchObject({ code, out: '' });
	expect(ended.err).toMatch(message);
});

test('SIGHUP ends it as Ctrl-C does: with the totals', async () => {
	const child = demo('--clients', '65535');
	const ended = once(child, 'exit');
	let printed = '';
	output(child).on('data', (part: Buffer) => {
		if (/2001:db8:c:/.test(String(part))) child.kill('SIGHUP');
		printed += part;
	});
	await ended;
	expect(child.exitCode).toBe(0);
	expect(printed.trimEnd().split('\n').at(-1)).toMatch(/^\d+ connections of \d+ clients through NAT64 in \d+ s: /);
});

test('a port that is in use: the error names its flag', async () => {
	const { server, port } = await takenPort();
	await using _taken = server;
	const { code, err } = await toascope(['demo', '--once', '--listen', `127.0.0.1:${port}`]);
	expect({ code, err }).toEqual({
		code: 1,
		err: `toascope: --listen 127.0.0.1:${port}: another process listens on 127.0.0.1:${port} [ADDRESS_IN_USE]\n  choose another address and port; --listen 127.0.0.1:0 uses a free port\n`,
	});
});
