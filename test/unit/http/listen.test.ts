// SPDX-License-Identifier: Apache-2.0
/** The application on real sockets: TCP, Unix, their limits, and `toascope lookup` over them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
	chmodSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ConnectionJson } from '../../../daemon/api/connection.ts';
import { connectionTable, type LookupOptions, lookup } from '../../../daemon/cli/lookup.ts';
import { formatBytes } from '../../../daemon/cli/units.ts';
import { createHttp } from '../../../daemon/http/app.ts';
import { connectionJson } from '../../../daemon/http/json.ts';
import { listenTcp } from '../../../daemon/http/listen.ts';
import { isSameFile, listenUnix } from '../../../daemon/http/unix_socket.ts';
import type { Endpoint } from '../../../daemon/model/address.ts';
import { socketClosed } from '../../kit/daemon/socket_closed.ts';
import { closed, fixtureExporter, fixtureView, open } from '../../kit/model/view.ts';

const loopback: Endpoint = { family: 4, text: '127.0.0.1', port: 0 };
const cleanUp: (() => unknown)[] = [];
let folder: string;
let path: string;

beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'toascope-http-'));
	path = join(folder, 'run', 'toascope.sock');
});

afterEach(async () => {
	for (const one of cleanUp.splice(0).reverse()) await one();
	rmSync(folder, { recursive: true, force: true });
});

function start(): FastifyInstance {
	const app = createHttp({ view: fixtureView(), metrics: fixtureExporter(), logger: pino({ level: 'silent' }) });
	cleanUp.push(() => app.close());
	return app;
}

describe('TCP', () => {
	it('returns the address that the kernel chose', async () => {
		const at = await listenTcp(start(), loopback);
		expect(at).toEqual({ family: 4, text: '127.0.0.1', port: expect.any(Number) });
		expect((await fetch(`http://127.0.0.1:${at.port}/healthz`)).status).toBe(200);
	});

	it('reports a port that is in use, and how to find its owner', async () => {
		const { port } = await listenTcp(start(), loopback);
		await expect(listenTcp(start(), { ...loopback, port })).rejects.toMatchObject({
			code: 'ADDRESS_IN_USE',
			message: `another process listens on 127.0.0.1:${port}`,
			hint: expect.stringContaining(`sport = :${port}`),
		});
	});

	it('refuses an address of another host', async () => {
		const elsewhere: Endpoint = { family: 4, text: '192.0.2.1', port: 0 };
		await expect(listenTcp(start(), elsewhere)).rejects.toMatchObject({ code: 'ADDRESS_NOT_AVAILABLE' });
	});

	it('closes open connections when it closes', async () => {
		const app = start();
		const { port } = await listenTcp(app, loopback);
		const socket = connect(port, '127.0.0.1');
		await once(socket, 'connect');
		const ended = socketClosed(socket);
		socket.resume();
		await app.close();
		await ended;
	});
});

describe('the Unix socket', () => {
	it('is another file if its inode number was reused', () => {
		const file = { ino: 7n, dev: 1n, birthtimeNs: 10n };
		expect(isSameFile(file, { ...file })).toBe(true);
		expect(isSameFile(file, { ...file, birthtimeNs: 11n })).toBe(false);
	});

	it('is the same file if only its mode changed', async () => {
		const socket = await listenUnix(start(), path);
		chmodSync(path, 0o666);
		expect(socket.state()).toBe('ours');
	});

	it('closes even if its file cannot be removed', async () => {
		const lines: string[] = [];
		const logger = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
		const app = createHttp({ view: fixtureView(), metrics: fixtureExporter(), logger });
		await listenUnix(app, path);
		// a component of the path is not a directory any more: ENOTDIR
		renameSync(join(folder, 'run'), join(folder, 'moved'));
		writeFileSync(join(folder, 'run'), '');
		await app.close();
		expect(lines.map((line) => JSON.parse(line))).toMatchObject([
			{ msg: expect.stringMatching(/could not be removed/), err: { code: 'ENOTDIR' } },
		]);
	});

	it('is accessible to owner and group, and is removed when the application closes', async () => {
		const app = start();
		await listenUnix(app, path);
		expect(statSync(path).mode & 0o777).toBe(0o660);
		await app.close();
		expect(() => statSync(path)).toThrow('ENOENT');
	});

	it.each([0, 0o022, 0o777])('has this mode from the start, whatever the umask: %o', async (umask) => {
		const before = process.umask(umask);
		cleanUp.push(() => process.umask(before));
		path = join(folder, 'socket');
		const app = start();
		// at the temporary name that it is bound to, before it is moved to its path
		const bound = once(app.server, 'listening').then(() => statSync(String(app.server.address())).mode & 0o777);
		await listenUnix(app, path);
		expect(await bound).toBe(0o660);
		expect(process.umask()).toBe(umask);
	});

	it('removes the directories that were created for it', async () => {
		const app = start();
		await listenUnix(app, path);
		await app.close();
		expect(readdirSync(folder)).toEqual([]);
	});

	it('is not taken from a process that listens on it', async () => {
		await listenUnix(start(), path);
		await expect(listenUnix(start(), path)).rejects.toMatchObject({
			code: 'ALREADY_RUNNING',
			message: `another toascope is listening on ${path}`,
		});
		expect(await lookup('10.0.0.1:4711', { daemon: { socket: path }, out: { write: () => true } })).toBe(0);
	});

	it('replaces the socket of a process that was killed', async () => {
		path = join(folder, 'stale.sock');
		const code = `require('node:net').createServer().listen(process.argv[1], () => console.log('listening'))`;
		const child = spawn(process.execPath, ['-e', code, path], { stdio: ['ignore', 'pipe', 'inherit'] });
		const gone = once(child, 'exit');
		await once(child.stdout, 'data');
		child.kill('SIGKILL');
		await gone;
		expect(statSync(path).isSocket()).toBe(true);
		await listenUnix(start(), path);
		expect(await lookup('10.0.0.1:4711', { daemon: { socket: path }, out: { write: () => true } })).toBe(0);
	});

	it('leaves no other file beside it', async () => {
		path = join(folder, 'toascope.sock');
		await listenUnix(start(), path);
		expect(readdirSync(folder)).toEqual(['toascope.sock']);
	});

	it('reports whether its file is still there, and does not remove one that replaced it', async () => {
		path = join(folder, 'toascope.sock');
		const app = start();
		const file = await listenUnix(app, path);
		expect(file.state()).toBe('ours');
		rmSync(path);
		expect(file.state()).toBe('removed');
		writeFileSync(path, 'precious');
		expect(file.state()).toBe('replaced');
		await app.close();
		expect(readFileSync(path, 'utf8')).toBe('precious');
	});

	it('can be as long as the kernel allows, and no longer', async () => {
		const longest = join(folder, 's'.repeat(107 - folder.length - 1));
		await listenUnix(start(), longest);
		expect(statSync(longest).isSocket()).toBe(true);
		await expect(listenUnix(start(), `${longest}s`)).rejects.toMatchObject({
			code: 'CONFIG_INVALID',
			message: expect.stringContaining('the name is too long'),
		});
	});

	it('never replaces a file that is not a socket', async () => {
		path = join(folder, 'file');
		writeFileSync(path, 'precious');
		await expect(listenUnix(start(), path)).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
	});
});

describe('toascope lookup', () => {
	async function run(target: string, options: Omit<LookupOptions, 'daemon' | 'out'> = {}) {
		let text = '';
		const out = { write: (part: string) => (text += part) };
		const code = await lookup(target, { daemon: { socket: path }, out, ...options });
		return { code, text };
	}

	it('prints a line for each connection', async () => {
		await listenUnix(start(), path);
		const { code, text } = await run('[::ffff:10.0.0.1]:4711');
		expect(code).toBe(0);
		const [first = '', second, ...rest] = text.split('\n');
		expect(first).toMatch(
			/^10\.0\.0\.1:4711 -> \[2001:db8::1\]:5555 {2}on 192\.0\.2\.10:443 {2}nat64\/ack {2}nginx\[123\] {2}opened 2025-10-09T08:53:20\.123Z, open for [\d.]+ d +3\.2 kB in 9\.2 EB out$/,
		);
		expect(second).toMatch(
			/^10\.0\.0\.1:4711 -> \(none\) +on 192\.0\.2\.10:443 +- +- +opened 2025-10-09T08:53:20\.123Z, closed after 4\.9 s \(ECONNRESET\) {2,}17 B in 0 B out$/,
		);
		expect(rest).toEqual(['']);
	});

	it('prints the virtual server below the connection if an option named it', async () => {
		const endpoint = { family: 4, text: '203.0.113.5', port: 443 } as const;
		const hybrid = { family: 6, text: '2001:db8::5', port: undefined } as const;
		const connections = [
			{ ...open, virtualServer: { endpoint, vni: 77 } },
			{ ...open, virtualServer: { endpoint: hybrid, vni: undefined } },
			open,
		];
		const view = fixtureView({ connections });
		const app = createHttp({ view, metrics: fixtureExporter(), logger: pino({ level: 'silent' }) });
		cleanUp.push(() => app.close());
		await listenUnix(app, path);
		const { text } = await run('10.0.0.1:4711');
		expect(text.split('\n').map((line) => (line.startsWith('10.0.0.1:4711 -> ') ? 'connection' : line))).toEqual([
			'connection',
			'  virtual server  203.0.113.5:443 (VNI 77)',
			'connection',
			'  virtual server  2001:db8::5',
			'connection',
			'',
		]);
	});

	it('filters by local address and by time', async () => {
		const view = fixtureView();
		const app = createHttp({ view, metrics: fixtureExporter(), logger: pino({ level: 'silent' }) });
		cleanUp.push(() => app.close());
		await listenUnix(app, path);
		expect((await run('10.0.0.1:4711', { local: '[::ffff:192.0.2.10]:443' })).code).toBe(0);
		await expect(run('10.0.0.1:4711', { local: '192.0.2.10:80' })).rejects.toMatchObject({
			code: 'NOT_FOUND',
			message: 'no connection of the peer 10.0.0.1:4711 to 192.0.2.10:80 is known',
			hint: 'its known connections are to 192.0.2.10:443',
		});
		const states = async (at: string) => {
			const { text } = await run('10.0.0.1:4711', { at, json: true });
			return (JSON.parse(text) as { connections: ConnectionJson[] }).connections.map(({ state }) => state);
		};
		// opened at 08:53:20.123456789; one of them closed at 08:53:25
		expect(await states('2025-10-09T08:53:19Z')).toEqual([]);
		expect(await states('2025-10-09T08:53:20Z')).toEqual(['open', 'closed']);
		expect(await states('2025-10-09T08:53:25Z')).toEqual(['open', 'closed']);
		expect(await states('2025-10-09T08:53:26Z')).toEqual(['open']);
		await expect(run('10.0.0.1:4711', { at: '2025-10-09T08:53:19Z' })).rejects.toMatchObject({
			code: 'NOT_FOUND',
			message: 'no connection with the peer 10.0.0.1:4711 was open at that time',
			hint: expect.stringContaining('2025-10-09T08:53:20.123Z'),
		});
		await expect(run('10.0.0.1:4711', { at: 'yesterday' })).rejects.toMatchObject({ code: 'USAGE' });
		await expect(run('10.0.0.1:4711', { local: 'here' })).rejects.toMatchObject({ code: 'BAD_ADDRESS' });
	});

	it('works over TCP as well', async () => {
		const { port } = await listenTcp(start(), loopback);
		const out = { write: () => true };
		expect(await lookup('10.0.0.1:4711', { daemon: { url: `http://127.0.0.1:${port}` }, out })).toBe(0);
	});

	it("prints the daemon's JSON", async () => {
		await listenUnix(start(), path);
		const { code, text } = await run('10.0.0.1:4711', { json: true });
		expect(code).toBe(0);
		expect(JSON.parse(text).connections[0].client).toEqual({ address: '2001:db8::1', port: 5555 });
		expect(await run('10.0.0.1:4712', { json: true })).toEqual({ code: 1, text: '{"connections":[]}\n' });
	});

	it('fails for an unknown connection, without a daemon, and for an invalid address', async () => {
		await expect(run('10.0.0.1:4711')).rejects.toMatchObject({ code: 'NOT_RUNNING', exitCode: 3 });
		await listenUnix(start(), path);
		await expect(run('10.0.0.1:4712')).rejects.toMatchObject({ code: 'NOT_FOUND', exitCode: 1 });
		await expect(run('10.0.0.1')).rejects.toMatchObject({ code: 'BAD_ADDRESS', exitCode: 2 });
	});

	it.each([
		[200, 'hello'],
		[200, '{}'],
		[200, 'null'],
		[500, '{"connections":[]}'],
	])('detects a response that is not from toascope: %d %s', async (status, body) => {
		const server = createServer((_request, response) => response.writeHead(status).end(body)).listen(0, '127.0.0.1');
		cleanUp.push(() => server.close());
		await once(server, 'listening');
		const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
		await expect(lookup('10.0.0.1:1', { daemon: { url } })).rejects.toMatchObject({ code: 'NOT_RUNNING' });
	});

	it('reports why a daemon cannot answer', async () => {
		const body = '{"detail":"toascope is not attached yet, or no longer"}';
		const server = createServer((_request, response) => response.writeHead(503).end(body)).listen(0, '127.0.0.1');
		cleanUp.push(() => server.close());
		await once(server, 'listening');
		const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
		await expect(lookup('10.0.0.1:1', { daemon: { url } })).rejects.toMatchObject({
			code: 'NOT_RUNNING',
			message: `the daemon at ${url} cannot answer now: toascope is not attached yet, or no longer`,
		});
	});

	it('shows a conflict, and escapes control characters', () => {
		const view = fixtureView();
		const hostile: ConnectionJson = {
			...connectionJson({ ...open, verdict: 'conflict' }, view),
			process: { pid: 9, comm: 'a\u001b[2J\u009bb', cgroup_id: '0', container_id: null, by: 'listener' },
		};
		const table = connectionTable([hostile, connectionJson({ ...closed, verdict: 'untrusted' }, view)]);
		expect(table).toContain('-> [2001:db8::1]:5555 (conflict)  on 192.0.2.10:443  nat64/ack  a?[2J?b[9]');
		expect(table).toContain('-> (untrusted)');
	});

	it.each([
		[0n, '0 B'],
		[999n, '999 B'],
		[1000n, '1.0 kB'],
		[9949n, '9.9 kB'],
		[9950n, '10 kB'],
		[999_499n, '999 kB'],
		[999_500n, '1.0 MB'],
		[9_223_372_036_854_775_807n, '9.2 EB'],
	])('formats %d bytes', (bytes, text) => {
		expect(formatBytes(bytes)).toBe(text);
	});
});
