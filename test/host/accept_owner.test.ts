// SPDX-License-Identifier: Apache-2.0
/**
 * The process that accepted a connection: processes that share a listener or have one each, sockets
 * that are passed to another process, threads, io_uring. The server (apps/acceptor.c) reports to
 * each client which process accepted it.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionJson } from '../../daemon/api/connection.ts';
import { Lab, nat64Server } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { isReadyLine, stop, untilReady } from '../../daemon/lab/process.ts';
import { native } from '../../native/binding.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { compile } from '../kit/kernel/c_program.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { clientAddress, somePorts } from '../kit/wire/toa_stage.ts';

type Mode = 'prefork' | 'reuseport' | 'pass' | 'thread' | 'i386' | `uring${'' | '-async' | '-epoll' | '-sqpoll'}`;

/** CHILDREN of apps/acceptor.c. */
const children = 4;
const count = 24;
const firstListenPort = 10_000;
/**
 * Each server gets a port of its own: io_uring releases a listener some time after the process has
 * ended.
 */
const ports = 24;
const firstPort = somePorts(ports);

let lab: Lab;
let client: LabClient;
let daemon: Daemon;
let acceptProgram: string;
let program: string;

beforeAll(async () => {
	program = compile('acceptor');
	const indices = [...Array(ports).keys()];
	lab = await Lab.open({
		routes: indices.map((i) => ({ listenPort: firstListenPort + i, backendPort: firstPort + i, profile: 'nat64' })),
	});
	const config = `listeners: {ports: ["${firstPort}-${firstPort + ports - 1}"]}`;
	[client, daemon] = await Promise.all([lab.client(), Daemon.start({ config })]);
	({ accept_program: acceptProgram } = await daemon.json<{ accept_program: string }>('/v1/status'));
});
afterAll(async () => {
	await daemon?.stop();
	await lab?.close();
});

interface Answered {
	/** The pid that the server reported as the one that accepted. */
	readonly acceptedBy: number;
	/** What the daemon knows of the connection. */
	readonly known: ConnectionJson;
}

/**
 * Resolves when the connection is closed, since only then is it certain that an accept was
 * unobserved, and has a process, since that of a new listener is found a moment later.
 */
async function closed(peer: string): Promise<ConnectionJson> {
	const path = `/v1/connections?peer=${peer}&netns=${lab.netnsInode('server')}`;
	for (;;) {
		const { connections } = await daemon.json<{ connections: ConnectionJson[] }>(path);
		if (connections[0]?.state === 'closed' && connections[0].process !== null) return connections[0];
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
}

/**
 * `together` connections are open at the same time, so that as many processes must have accepted.
 */
async function request({ port }: Server, together = 1): Promise<Answered[]> {
	const answers: Answered[] = [];
	for (let done = 0; done < count; done += together) {
		const results = await client.run({
			from: clientAddress,
			clients: together,
			to: nat64Server,
			port: firstListenPort + port - firstPort,
			text: 'who?',
			until: '\n',
			hold: true,
		});
		await client.release();
		for (const { client: address, clientPort, reply = '', error } of results) {
			expect(error).toBeUndefined();
			const [acceptedBy = '', peer, peerPort] = reply.trim().split(' ');
			const known = await closed(`${peer}:${peerPort}`);
			expect(known.client).toEqual({ address, port: clientPort });
			answers.push({ acceptedBy: Number(acceptedBy), known });
		}
	}
	expect(answers).toHaveLength(count);
	return answers;
}

interface Server extends AsyncDisposable {
	readonly pid: number;
	readonly port: number;
	/** The name that is reported for its accepts. */
	readonly comm: string;
}

let portsUsed = 0;

async function start(mode: Mode, silently: boolean, port = firstPort + portsUsed++): Promise<Server> {
	const args = [mode, String(port), ...(silently ? ['silently'] : [])];
	const child = lab.spawn('server', program, args, { stdio: 'pipe' });
	await untilReady(child, `acceptor ${mode}`, isReadyLine);
	const pid = child.pid ?? 0;
	// where a BPF program can read only the name of the current thread, it reports that name
	const comm =
		mode === 'thread' && native().probe().features.taskRegisters !== ''
			? 'a-thread'
			: readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
	return { pid, port, comm, [Symbol.asyncDispose]: () => stop(child) };
}

/** How all accepts of each listener were observed. */
const observed = new Map<string, string>();

describe('accept() with an address buffer', () => {
	it.each<[Mode, number]>([
		['prefork', children],
		['reuseport', 1],
		['pass', 1],
		['thread', 1],
		['uring', 1],
		['uring-async', 1],
		['uring-sqpoll', 1],
		...(process.arch === 'x64' ? [['i386', 1] as [Mode, number]] : []),
	])('%s: reports the process that accepted', async (mode, together) => {
		await using server = await start(mode, false);
		const answers = await request(server, together);
		for (const { acceptedBy, known } of answers) {
			expect(known).toMatchObject({
				seen: acceptProgram,
				accepted_at: expect.any(String),
				process: { pid: acceptedBy, comm: server.comm, by: 'accept' },
			});
		}
		const pids = new Set(answers.map(({ acceptedBy }) => acceptedBy));
		if (mode === 'prefork') expect(pids.size).toBe(children);
		if (mode === 'reuseport' || mode === 'pass') expect(pids.size).toBeGreaterThan(1);
		expect(pids.has(server.pid)).toBe(!['prefork', 'reuseport', 'pass'].includes(mode));
		observed.set(`192.0.2.2:${server.port}`, acceptProgram);
	});
});

/** How an accept() without an address buffer is observed: only fexit sees it. */
const seenWithoutBuffer = () => (acceptProgram === 'fexit' ? 'fexit' : 'unseen');

describe('accept() without an address buffer: a later getpeername() does not count as the accept', () => {
	it.each<[Mode, number]>([
		['prefork', children],
		['pass', 1],
		['thread', 1],
		['uring', 1],
		['uring-sqpoll', 1],
	])('%s: reports the process that opened the listener; with fexit, the one that accepted', async (mode, together) => {
		await using server = await start(mode, true);
		for (const { acceptedBy, known } of await request(server, together)) {
			expect(known).toMatchObject({
				seen: seenWithoutBuffer(),
				process:
					seenWithoutBuffer() === 'unseen'
						? { pid: server.pid, comm: server.comm, by: 'listener' }
						: { pid: acceptedBy, comm: server.comm, by: 'accept' },
			});
		}
		observed.set(`192.0.2.2:${server.port}`, seenWithoutBuffer());
	});

	it('reuseport: reports one of the processes that listen on the port', async () => {
		await using server = await start('reuseport', true);
		const answers = await request(server);
		const pids = new Set(answers.map(({ acceptedBy }) => acceptedBy));
		expect(pids.size).toBeGreaterThan(1);
		for (const { acceptedBy, known } of answers) {
			expect(known.seen).toBe(seenWithoutBuffer());
			if (seenWithoutBuffer() === 'unseen')
				expect(known.process).toMatchObject({ pid: expect.toSatisfy((pid) => pids.has(pid)), by: 'listener' });
			else expect(known.process).toMatchObject({ pid: acceptedBy, by: 'accept' });
		}
	});
});

it('a server on the port of one that has ended is the owner from its first connection on', async () => {
	const { port, pid } = await (async () => {
		await using first = await start('thread', true);
		await request(first);
		return first;
	})();
	await using second = await start('thread', true, port);
	expect(second.pid).not.toBe(pid);
	for (const { known } of await request(second)) {
		expect(known).toMatchObject({ seen: seenWithoutBuffer(), process: { pid: second.pid } });
	}
});

// the kernel completes the accept whenever the task happens to leave the kernel, so the system call
// in which it completes is random
it('io_uring with epoll_wait(): the process is correct whether the accept is observed or not', async () => {
	await using server = await start('uring-epoll', false);
	for (const { known } of await request(server)) {
		expect(known.process).toMatchObject({ pid: server.pid, by: known.seen === 'unseen' ? 'listener' : 'accept' });
	}
});

it('the counters contain each accept once', async () => {
	const of = (samples: readonly Sample[], listener: string, seen: string) =>
		total(samples, 'toascope_accepts_total', { listener, seen });
	const values = ['fexit', 'getpeername', 'unseen'];
	const samples = await daemon.until((found) => {
		const counted = [...observed.keys()].flatMap((listener) => values.map((value) => of(found, listener, value)));
		const sum = counted.reduce((one, other) => one + other, 0n);
		return sum >= BigInt(count * observed.size) ? found : undefined;
	});
	expect(observed.size).toBeGreaterThan(10);
	for (const [listener, seen] of observed) {
		const counts = Object.fromEntries(values.map((value) => [value, of(samples, listener, value)]));
		expect(counts).toEqual({ fexit: 0n, getpeername: 0n, unseen: 0n, [seen]: BigInt(count) });
	}
});
