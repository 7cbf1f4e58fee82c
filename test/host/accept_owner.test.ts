// SPDX-License-Identifier: Apache-2.0
/**
 * Who accepted: processes that share a listener or have one each, sockets that change hands, threads, io_uring. The server itself
 * (apps/acceptor.c) tells each client which process took it.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { native } from '../../daemon/capture/native.ts';
import type { ConnectionJson } from '../../daemon/http/json.ts';
import { Lab, nat64Server } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { isReadyLine, stop, untilReady } from '../../daemon/lab/process.ts';
import { compile } from '../fixtures/c_program.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { type Sample, total } from '../fixtures/metrics.ts';
import { clientAddress, somePorts } from '../fixtures/stage.ts';

type Mode = 'prefork' | 'reuseport' | 'pass' | 'thread' | 'i386' | `uring${'' | '-async' | '-epoll' | '-sqpoll'}`;

/** CHILDREN of apps/acceptor.c */
const children = 4;
const count = 24;
const firstListenPort = 10_000;
/** A server has each for itself: io_uring lets go of a listener some time after the process has ended. */
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
	/** The pid that the server told, which must have been the one that accepted. */
	readonly acceptedBy: number;
	readonly known: ConnectionJson;
}

/** When it is closed: only then is an accept that nobody saw sure to be known. A new listener is found a moment later. */
async function closed(peer: string): Promise<ConnectionJson> {
	const path = `/v1/connections?peer=${peer}&netns=${lab.netnsInode('server')}`;
	for (;;) {
		const { connections } = await daemon.json<{ connections: ConnectionJson[] }>(path);
		if (connections[0]?.state === 'closed' && connections[0].process !== null) return connections[0];
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
}

/** `together`: so many connections are open at once, so that so many processes must have accepted. */
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
	/** Its name, as it is known of an accept. */
	readonly comm: string;
}

let portsTaken = 0;

async function start(mode: Mode, silently: boolean, port = firstPort + portsTaken++): Promise<Server> {
	const args = [mode, String(port), ...(silently ? ['silently'] : [])];
	const child = lab.spawn('server', program, args, { stdio: 'pipe' });
	await untilReady(child, `acceptor ${mode}`, isReadyLine);
	const pid = child.pid ?? 0;
	// of a thread with a name of its own, where a program can read no other's: that one
	const comm =
		mode === 'thread' && native().probe().features.taskRegisters !== ''
			? 'a-thread'
			: readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
	return { pid, port, comm, [Symbol.asyncDispose]: () => stop(child) };
}

/** By listener: how all of its accepts were observed. */
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
	])('%s: the process that accepted', async (mode, together) => {
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

/** The accept is seen by fexit alone. */
const escapes = () => (acceptProgram === 'fexit' ? 'fexit' : 'unseen');

describe('accept() without one: never taken for a getpeername() later, by whomever', () => {
	it.each<[Mode, number]>([
		['prefork', children],
		['pass', 1],
		['thread', 1],
		['uring', 1],
		['uring-sqpoll', 1],
	])('%s: the process that opened the listener', async (mode, together) => {
		await using server = await start(mode, true);
		for (const { acceptedBy, known } of await request(server, together)) {
			expect(known).toMatchObject({
				seen: escapes(),
				process:
					escapes() === 'unseen'
						? { pid: server.pid, comm: server.comm, by: 'listener' }
						: { pid: acceptedBy, comm: server.comm, by: 'accept' },
			});
		}
		observed.set(`192.0.2.2:${server.port}`, escapes());
	});

	it('reuseport: one of the processes that listen there', async () => {
		await using server = await start('reuseport', true);
		const answers = await request(server);
		const pids = new Set(answers.map(({ acceptedBy }) => acceptedBy));
		expect(pids.size).toBeGreaterThan(1);
		for (const { acceptedBy, known } of answers) {
			expect(known.seen).toBe(escapes());
			if (escapes() === 'unseen')
				expect(known.process).toMatchObject({ pid: expect.toSatisfy((pid) => pids.has(pid)), by: 'listener' });
			else expect(known.process).toMatchObject({ pid: acceptedBy, by: 'accept' });
		}
	});
});

it('a server that takes the port of one that has ended is the owner from its first connection on', async () => {
	const { port, pid } = await (async () => {
		await using first = await start('thread', true);
		await request(first);
		return first;
	})();
	await using second = await start('thread', true, port);
	expect(second.pid).not.toBe(pid);
	for (const { known } of await request(second)) {
		expect(known).toMatchObject({ seen: escapes(), process: { pid: second.pid } });
	}
});

// the kernel completes it whenever the task happens to leave the kernel: in which call is left to chance
it('io_uring waited for by epoll_wait(): seen or not, the process is right', async () => {
	await using server = await start('uring-epoll', false);
	for (const { known } of await request(server)) {
		expect(known.process).toMatchObject({ pid: server.pid, by: known.seen === 'unseen' ? 'listener' : 'accept' });
	}
});

it('the counters have each accept once', async () => {
	const of = (samples: readonly Sample[], listener: string, seen: string) =>
		total(samples, 'toascope_accepts_total', { listener, seen });
	const ways = ['fexit', 'getpeername', 'unseen'];
	const samples = await daemon.until((found) => {
		const counted = [...observed.keys()].flatMap((listener) => ways.map((way) => of(found, listener, way)));
		const sum = counted.reduce((one, other) => one + other, 0n);
		return sum >= BigInt(count * observed.size) ? found : undefined;
	});
	expect(observed.size).toBeGreaterThan(10);
	for (const [listener, seen] of observed) {
		const counts = Object.fromEntries(ways.map((way) => [way, of(samples, listener, way)]));
		expect(counts).toEqual({ fexit: 0n, getpeername: 0n, unseen: 0n, [seen]: BigInt(count) });
	}
});
