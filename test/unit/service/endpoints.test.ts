// SPDX-License-Identifier: Apache-2.0
/** HTTP that cannot listen yet is retried, logged and counted, and keeps the daemon not ready. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { listenTcp } from '../../../daemon/http/listen.ts';
import { listenUnix, type SocketFile } from '../../../daemon/http/unix_socket.ts';
import { type Attempt, Endpoints } from '../../../daemon/service/endpoints.ts';
import { Readiness } from '../../../daemon/service/readiness.ts';
import { listenOn, takenPort } from '../../kit/daemon/occupied.ts';
import { start } from '../../kit/model/http_app.ts';

vi.mock(import('node:timers/promises'), async (original) => {
	const real = await original();
	return { ...real, setTimeout: vi.fn(real.setTimeout) as unknown as typeof real.setTimeout };
});

let directory = '';
let endpoints: Endpoints;
let readiness: Readiness;
let lines: { readonly level: string; readonly text: string; readonly context: object }[] = [];
const { promise: listening, resolve: setListening } = Promise.withResolvers<void>();

const line = (level: string) => (context: object, text: string) => {
	lines.push({ level, text, context });
	if (text === 'HTTP is listening now') setListening();
};

function open(retry = true): Endpoints {
	readiness = new Readiness();
	endpoints = new Endpoints({
		create: () => start(),
		log: { info: line('info'), warn: line('warn'), error: line('error') },
		readiness,
		retry,
	});
	return endpoints;
}

beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	lines = [];
	vi.mocked(delay).mockClear();
});
afterEach(async () => {
	await endpoints.close();
	rmSync(directory, { recursive: true });
});

const onPort = (port: number) => async (app: Parameters<typeof listenTcp>[0]) => {
	const { text } = await listenTcp(app, { family: 4, text: '127.0.0.1', port });
	return text;
};

it('listens when the port is freed', async () => {
	const { server, port } = await takenPort();
	expect(await open().open('listen', onPort(port))).toBeUndefined();
	expect(readiness.reasons).toEqual([{ reason: 'http_listen', text: `another process listens on 127.0.0.1:${port}` }]);
	await expect.poll(() => endpoints.failures().listen, { timeout: 10_000 }).toBeGreaterThanOrEqual(3n);
	server.close();
	await listening;
	expect(readiness.reasons).toEqual([]);
	// each pause is twice the previous one
	expect(
		vi
			.mocked(delay)
			.mock.calls.slice(0, 3)
			.map(([pauseMs]) => pauseMs),
	).toEqual([250, 500, 1000]);
	expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
	// one line for the cause, however many attempts there were
	expect(lines.map(({ level, text }) => [level, text])).toEqual([
		['error', 'HTTP cannot listen, retrying: programs stay attached and count'],
		['info', 'HTTP is listening now'],
	]);
});

it('can be closed while it waits', async () => {
	const { server, port } = await takenPort();
	await using _taken = server;
	await open().open('listen', onPort(port));
	await endpoints.close();
	expect(lines).toHaveLength(1);
});

it('fails at once if retries are off', async () => {
	const { server, port } = await takenPort();
	await using _taken = server;
	await expect(open(false).open('listen', onPort(port))).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
	expect(endpoints.failures()).toEqual({ listen: 0n });
});

it('does not wait for another daemon to end', async () => {
	const socket = join(directory, 'toascope.sock');
	await using _other = await listenOn(socket);
	const attempt = async (app: Parameters<typeof listenUnix>[0]) => {
		await listenUnix(app, socket);
		return socket;
	};
	await expect(open().open('socket', attempt)).rejects.toMatchObject({ code: 'ALREADY_RUNNING' });
});

it('waits for a socket whose path is occupied by a file', async () => {
	const socket = join(directory, 'toascope.sock');
	writeFileSync(socket, 'mine');
	const attempt = async (app: Parameters<typeof listenUnix>[0]) => {
		await listenUnix(app, socket);
		return socket;
	};
	expect(await open().open('socket', attempt)).toBeUndefined();
	expect(readiness.reasons.map(({ reason }) => reason)).toEqual(['http_socket']);
});

describe('the file of the Unix socket', () => {
	const [path, directories]: [() => string, string[]] = [() => join(directory, 'made/toascope.sock'), []];
	let file: SocketFile | undefined;
	const apps: Parameters<Attempt>[0][] = [];
	const attempt: Attempt = async (app) => {
		apps.push(app);
		file = await listenUnix(app, path(), directories);
		return path();
	};
	const listens = () => expect.poll(() => file?.state(), { timeout: 5000 }).toBe('ours');

	it('is created again with its directory after it was removed, and is removed at the end', async () => {
		await open().open('socket', attempt);
		rmSync(join(directory, 'made'), { recursive: true });
		endpoints.reopen('socket', 'removed');
		expect(readiness.reasons).toEqual([{ reason: 'http_socket', text: 'removed' }]);
		await listens();
		await expect.poll(() => readiness.reasons).toEqual([]);
		await endpoints.close();
		expect(existsSync(join(directory, 'made'))).toBe(false);
	});

	it('is removed repeatedly: no application is left over', async () => {
		apps.length = 0;
		await open().open('socket', attempt);
		for (let round = 0; round < 3; round++) {
			rmSync(path());
			endpoints.reopen('socket', 'removed');
			expect(endpoints.waiting).toBe(1);
			await expect.poll(() => endpoints.waiting, { timeout: 5000 }).toBe(0);
			expect(file?.state()).toBe('ours');
			expect(apps.map(({ server }) => server.listening)).toEqual([...apps.slice(1).map(() => false), true]);
		}
		expect(apps).toHaveLength(4);
	});

	it('waits for a process that listens in its place to end', async () => {
		await open().open('socket', attempt);
		rmSync(path());
		{
			await using _other = await listenOn(path());
			endpoints.reopen('socket', 'replaced');
			await expect.poll(() => endpoints.failures()['socket']).toBeGreaterThan(0n);
			expect(file?.state()).toBe('replaced');
		}
		await listens();
	});
});
