// SPDX-License-Identifier: Apache-2.0
/** The parts of the lab that need no root: its texts, and client and echo server over loopback. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { findGateway, formatRoute, type Route } from '../../../daemon/lab/gateway.ts';
import { LabClient } from '../../../daemon/lab/lab_client.ts';
import { LabServer } from '../../../daemon/lab/lab_server.ts';
import { readJsonLines } from '../../../daemon/lab/process.ts';
import { decodeHeader, type EchoRecord, encodeHeader, headerSize } from '../../../daemon/lab/protocol.ts';
import { addressAfter } from '../../../daemon/lab/sources.ts';
import { findTools } from '../../../daemon/lab/tools.ts';

const open: AsyncDisposable[] = [];

function node(...args: string[]): ChildProcess {
	return spawn(process.execPath, args, { stdio: 'pipe' });
}

async function startClient(): Promise<LabClient> {
	const client = await LabClient.open(node(join(import.meta.dirname, '../../../daemon/lab/client.ts')));
	open.push(client);
	return client;
}

/** `ended(n)` resolves with the records of the first n connections that ended. */
async function startServer() {
	const records: EchoRecord[] = [];
	let wake = () => {};
	const child = node(join(import.meta.dirname, '../../../daemon/lab/echo_server.ts'), '127.0.0.1', '0');
	const server = await LabServer.open(child, (more) => {
		records.push(...more);
		wake();
	});
	open.push(server);
	const ended = async (count: number) => {
		while (records.length < count) {
			await new Promise<void>((resolve) => {
				wake = resolve;
			});
		}
		return records;
	};
	return { server, ended, records };
}

afterEach(async () => {
	for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
});

describe('texts', () => {
	it.each<[Route, string]>([
		[{ listenPort: 8080, backendPort: 80, profile: 'nat64' }, '8080:80:nat64'],
		[{ listenPort: 1, backendPort: 2, profile: 'toa4', segments: ['data'] }, '1:2:toa4:data'],
		[
			{ listenPort: 1, backendPort: 2, profile: 'hex:fd04abcd', segments: ['ack', 'data'] },
			'1:2:hex:fd04abcd:ack,data',
		],
	])('route %#', (route, text) => expect(formatRoute(route)).toBe(text));

	it.each([
		['2001:db8:c::', 0, '2001:db8:c::'],
		['2001:db8:c::', 1, '2001:db8:c:0:0:0:0:1'],
		['2001:db8:c::ffff', 1, '2001:db8:c:0:0:0:1:0'],
		['2001:db8:c:0:0:0:0:fffe', 2, '2001:db8:c:0:0:0:1:0'],
		['::', 65_536, '0:0:0:0:0:0:1:0'],
		['192.0.2.1', 0, '192.0.2.1'],
	])('the address %s + %i', (first, offset, address) => expect(addressAfter(first, offset)).toBe(address));

	it('cannot increment IPv4 addresses', () => expect(() => addressAfter('192.0.2.1', 1)).toThrow(RangeError));

	it('a header is decoded as it was encoded', () => {
		const header = { id: '00112233445566778899aabbccddeeff', send: 4_294_967_295, receive: 5 };
		expect(encodeHeader(header)).toHaveLength(headerSize);
		expect(decodeHeader(encodeHeader(header))).toEqual(header);
	});

	it('skips lines that are not JSON', async () => {
		const child = node('-e', 'console.log("warning\\n[1]\\n{")');
		const values: unknown[] = [];
		if (child.stdout !== null) readJsonLines(child.stdout, (value) => values.push(value));
		await once(child, 'close');
		expect(values).toEqual([[1]]);
	});
});

describe('errors', () => {
	it('names the tools that are missing', () => {
		expect(() => findTools('/nonexistent', [])).toThrow(
			expect.objectContaining({ code: 'MISSING_TOOL', message: expect.stringContaining('nsenter') }),
		);
	});

	it('reports the output of a process that did not start', async () => {
		const opened = LabClient.open(node('-e', 'console.error("no luck"); process.exit(3)'));
		await expect(opened).rejects.toMatchObject({ code: 'LAB_FAILED', message: 'lab client exited with 3: no luck' });
	});

	it('rejects pending runs when the client dies', async () => {
		const silent = createServer().listen(0, '127.0.0.1');
		await once(silent, 'listening');
		const client = await startClient();
		const { port } = silent.address() as { port: number };
		const connected = once(silent, 'connection');
		const run = expect(client.run({ to: '127.0.0.1', port, receive: 1 })).rejects.toMatchObject({ code: 'LAB_FAILED' });
		await connected;
		await client.close();
		await run;
		expect(() => client.run({ to: '127.0.0.1', port })).toThrow('exited');
		silent.close();
	});

	it.each([
		[[]],
		[['--pool', '198.51.100.0/28']],
		[['--pool', '198.51.100.0/8', '--route', '1:2:none']],
		[['--pool', '198.51.100.0/28', '--route', '1:2:nat']],
		[['--pool', '198.51.100.0/28', '--route', '1:0:nat64']],
		[['--pool', '198.51.100.0/28', '--route', '1:2:nat64:syn']],
		[['--pool', '198.51.100.0/28', '--route', '1:2:hex:fd05abcd']],
		[['--pool', '198.51.100.0/28', '--route', '1:2:hex:0101']],
	])('the gateway refuses %j', async (args) => {
		const [code] = await once(spawn(findGateway(), args, { stdio: 'ignore' }), 'exit');
		expect(code).toBe(2);
	});
});

describe('client and echo server', () => {
	it('agree on every connection', async () => {
		const [client, { server, ended }] = await Promise.all([startClient(), startServer()]);
		const results = await client.run({
			from: '127.0.0.1',
			to: '127.0.0.1',
			port: server.port,
			count: 50,
			concurrency: 7,
			send: 100_000,
			receive: 300_000,
		});
		const seen = new Map((await ended(50)).map((record) => [record.id, record]));
		expect(seen.size).toBe(50);
		for (const { id, client: peer, clientPort: peerPort, sent: received, received: sent } of results) {
			expect(seen.get(id)).toEqual({ id, peer, peerPort, received, sent });
			expect([received, sent]).toEqual([100_000, 300_000]);
		}
	});

	it('hold connections until they are released', async () => {
		const [client, { server, ended, records }] = await Promise.all([startClient(), startServer()]);
		const held = await client.run({ to: '127.0.0.1', port: server.port, count: 5, receive: 10, hold: true });
		expect(held.map((result) => result.received)).toEqual([10, 10, 10, 10, 10]);
		await client.run({ to: '127.0.0.1', port: server.port });
		expect(await ended(1)).toHaveLength(1);
		await client.release();
		await ended(6);
		expect(new Set(records.map((record) => record.id))).toEqual(
			new Set([...held.map((one) => one.id), records[0]?.id]),
		);
	});

	it('talk to other servers in text', async () => {
		const upper = createServer((socket) => socket.once('data', (text) => socket.end(String(text).toUpperCase())));
		await once(upper.listen(0, '127.0.0.1'), 'listening');
		const { port } = upper.address() as { port: number };
		const [result] = await (await startClient()).run({ to: '127.0.0.1', port, text: 'hello' });
		expect(result).toMatchObject({ sent: 5, received: 5, reply: 'HELLO' });
		expect(result).not.toHaveProperty('error');
		upper.close();
	});

	it('report connections that fail', async () => {
		const gone = createServer().listen(0, '127.0.0.1');
		await once(gone, 'listening');
		const { port } = gone.address() as { port: number };
		await new Promise((resolve) => gone.close(resolve));
		const results = await (await startClient()).run({ to: '127.0.0.1', port, count: 3 });
		expect(results.map((result) => result.error)).toEqual(new Array(3).fill(expect.stringContaining('ECONNREFUSED')));
	});
});
