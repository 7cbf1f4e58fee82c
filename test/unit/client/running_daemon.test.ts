// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope reload` signals the process that the kernel identifies, whatever process id an HTTP
 * response contains.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { reload } from '../../../daemon/cli/reload.ts';
import { lockHolderOf, runsAsUser } from '../../../daemon/client/running_daemon.ts';
import { native } from '../../../native/binding.ts';

const own = process.getuid?.() ?? 0;
let directory = '';
let children: ChildProcess[] = [];

beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	children = [];
});
afterEach(async () => {
	for (const child of children) {
		if (child.exitCode !== null || child.signalCode !== null) continue;
		const ended = once(child, 'exit');
		child.kill('SIGKILL');
		await ended;
	}
	rmSync(directory, { recursive: true });
});

/**
 * A process that counts the SIGHUPs that it gets. `script` runs in it, and calls began() when the
 * process is ready.
 */
async function listensForSighup(
	script = '',
): Promise<{ readonly pid: number; readonly hangups: () => Promise<number> }> {
	const code = `let hangups = 0; process.on('SIGHUP', () => { hangups++; });
		process.on('message', () => process.send(hangups)); const began = () => process.send('began'); ${script || 'began()'}`;
	const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
	children.push(child);
	await once(child, 'message');
	return {
		pid: child.pid as number,
		hangups: async () => {
			const answer = once(child, 'message');
			child.send('?');
			return (await answer)[0] as number;
		},
	};
}

function file(...lines: string[]): string {
	const path = join(directory, 'toascope.yaml');
	writeFileSync(path, [...lines, ''].join('\n'));
	return path;
}

async function run(config: string, env = {}): Promise<string> {
	let output = '';
	const write = (text: string) => {
		output += text;
	};
	await reload({ config, env, write });
	return output;
}

const claim = (pid: number) => ({ pid, config: {}, peers: null, config_reload: { successful: true, attempts: 1 } });

it('signals no process that a TCP server names: any user can listen on a port', async () => {
	const victim = await listensForSighup();
	let calls = 0;
	await using server = createServer((_request, response) => {
		const { config_reload, ...rest } = claim(victim.pid);
		response.end(JSON.stringify({ ...rest, config_reload: { ...config_reload, attempts: calls++, restart_keys: [] } }));
	}).listen(0, '127.0.0.1');
	await once(server, 'listening');
	const { port } = server.address() as AddressInfo;
	const config = file(`http: {listen: "127.0.0.1:${port}", socket: off}`, 'bpf: {pin: off}');
	await expect(run(config)).rejects.toMatchObject({ code: 'NOT_RUNNING' });
	expect(await victim.hangups()).toBe(0);
	expect(calls).toBe(0);
});

it('signals the process that listens on the Unix socket, not the one that its response names', async () => {
	const victim = await listensForSighup();
	const socket = join(directory, 'toascope.sock');
	const daemon =
		await listensForSighup(`require('node:http').createServer((request, response) => response.end(JSON.stringify({
		pid: ${victim.pid}, config: {}, peers: null,
		config_reload: { successful: true, attempts: hangups, error: null, restart_keys: [] },
	}))).listen(${JSON.stringify(socket)}, began)`);
	const output = await run(file(`http: {listen: off, socket: ${socket}}`, 'bpf: {pin: off}'));
	expect(output).toBe(`configuration reloaded by the daemon (pid ${daemon.pid})\n`);
	expect(await daemon.hangups()).toBe(1);
	expect(await victim.hangups()).toBe(0);
});

it("without a Unix socket, signals systemd's main process, never a process group", async () => {
	const main = await listensForSighup();
	const config = file('http: {listen: off, socket: off}', 'bpf: {pin: off}');
	expect(await run(config, { MAINPID: `${main.pid}` })).toContain(`SIGHUP was sent to process ${main.pid}`);
	await expect.poll(main.hangups).toBe(1);
	for (const MAINPID of ['-1', '0', '1', '1.5', 'x', ''])
		await expect(run(config, { MAINPID })).rejects.toMatchObject({ code: 'NOT_RUNNING' });
});

it('otherwise finds the process that holds the lock on the pins', async () => {
	const pin = join(directory, 'pins');
	rmSync(pin, { recursive: true, force: true });
	expect(lockHolderOf(pin)).toBeUndefined();
	expect(lockHolderOf(directory)).toBeUndefined();
	const lock = native().lock(directory);
	expect(lock).toBeGreaterThanOrEqual(0);
	// unknown on a file system whose locks show another device (overlayfs)
	expect([undefined, process.pid]).toContain(lockHolderOf(directory)?.pid);
	closeSync(lock);
});

it.skipIf(!existsSync('/dev/shm'))('finds the lock holder on a file system whose locks show its own device', () => {
	const pin = mkdtempSync('/dev/shm/toascope-test-');
	const lock = native().lock(pin);
	try {
		expect(lockHolderOf(pin)).toEqual({ pid: process.pid, uid: own });
	} finally {
		closeSync(lock);
		rmSync(pin, { recursive: true });
	}
});

it('a process is identified by its id and its user', () => {
	expect(runsAsUser({ pid: process.pid, uid: own })).toBe(true);
	expect(runsAsUser({ pid: process.pid, uid: own + 1 })).toBe(false);
	for (const pid of [-1, 0, 1.5, Number.NaN, 2 ** 40]) expect(runsAsUser({ pid, uid: own })).toBe(false);
});
