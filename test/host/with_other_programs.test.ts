// SPDX-License-Identifier: Apache-2.0
/**
 * toascope and other programs at the same hooks of the same cgroup: neither changes the results of
 * the other.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, nat64Server } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { Cgroups } from '../kit/kernel/cgroup.ts';
import { ForeignGetsockopt, ForeignSockops, flag, type ObservedOption, op } from '../kit/kernel/other_programs.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { noToaError } from '../kit/wire/no_toa_error.ts';
import { type OptionResult, Probe } from '../kit/wire/probe.ts';
import { clientAddress, somePorts } from '../kit/wire/toa_stage.ts';

const count = 12;
const listenPorts = { nat64: 10_000, none: 10_001 };
const port = somePorts(1);
const IPPROTO_IP = 0;

let cgroups: Cgroups;
let cgroup: string;
let lab: Lab;
let client: LabClient;
let probe: Probe;

beforeAll(async () => {
	cgroups = Cgroups.open();
	cgroup = cgroups.make('shared');
	lab = await Lab.open({
		routes: [
			{ listenPort: listenPorts.nat64, backendPort: port, profile: 'nat64', segments: ['data'] },
			{ listenPort: listenPorts.none, backendPort: port, profile: 'none' },
		],
	});
	client = await lab.client();
	probe = await Probe.start(lab, 'dual', port, cgroup);
});
afterAll(async () => {
	await lab?.close();
	await cgroups?.[Symbol.asyncDispose]();
});

const startDaemon = () => Daemon.start({ config: `cgroup: ${cgroup}\ntransparent: on\nlisteners: {ports: [${port}]}` });

/** Programs of one cgroup run in the order in which they were attached. */
const orders = ['before toascope', 'after toascope'] as const;
type Order = (typeof orders)[number];

/** Attaches another program and toascope in this order. */
async function together<T extends AsyncDisposable>(order: Order, attach: () => Promise<T>) {
	const first = order === 'before toascope' ? await attach() : undefined;
	const daemon = await startDaemon();
	const foreign = first ?? (await attach());
	return {
		foreign,
		daemon,
		async [Symbol.asyncDispose]() {
			await foreign[Symbol.asyncDispose]();
			await daemon.stop();
		},
	};
}

/**
 * Makes one connection, step by step. The server sends nothing, so that it gets the same segments
 * each time.
 */
async function connect<T>(
	ask: (made: ConnectionResult) => Promise<T>,
	option: keyof typeof listenPorts = 'nat64',
): Promise<T> {
	const [, [made]] = await Promise.all([
		probe.accept(),
		client.run({ from: clientAddress, to: nat64Server, port: listenPorts[option], hold: true }),
	]);
	await probe.read();
	if (made === undefined || made.error !== undefined) throw new Error(`the client failed: ${made?.error}`);
	try {
		return await ask(made);
	} finally {
		const released = client.release();
		await probe.read();
		await probe.closeConnection();
		await released;
	}
}

/** Expects that toascope still delivers the client of this connection. */
async function expectServed({ client: address, clientPort }: ConnectionResult): Promise<void> {
	expect(await probe.getpeername()).toMatchObject({ address, port: clientPort });
	const { result, bytes } = await probe.getsockopt(IPPROTO_IP, 4096, 20);
	expect([result, bytes.readUInt16BE(16)]).toEqual([0, clientPort]);
}

async function expectCounted(daemon: Daemon, connections: number): Promise<void> {
	const labels = { listener: `192.0.2.2:${port}` };
	await daemon.until((samples) =>
		total(samples, 'toascope_connections_closed_total', labels) === BigInt(connections) &&
		total(samples, 'toascope_handshakes_total', { ...labels, result: 'toa' }) === BigInt(connections)
			? true
			: undefined,
	);
}

describe('sockops', () => {
	/** What the program counts during `count` connections. */
	async function counts(
		foreign: ForeignSockops,
		ask: (made: ConnectionResult) => Promise<void>,
	): Promise<readonly number[]> {
		for (let i = 0; i < count; i++) await connect(ask);
		return foreign.counts();
	}

	async function countsWithoutToascope(flags: number): Promise<readonly number[]> {
		await using foreign = await ForeignSockops.attach(cgroup, port, flags);
		return await counts(foreign, async () => {});
	}

	it.each(orders)('attached %s: gets the same callbacks and keeps its flags', async (order) => {
		const flags = flag.STATE | flag.RTT | flag.RETRANS | flag.PARSE_UNKNOWN;
		const baseline = await countsWithoutToascope(flags);
		await using both = await together(order, () => ForeignSockops.attach(cgroup, port, flags));
		const withToascope = await counts(both.foreign, expectServed);
		expect(withToascope).toEqual(baseline);
		expect(withToascope[op.FLAGS_KEPT]).toBe(count);
		expect(withToascope[op.PARSE]).toBeGreaterThanOrEqual(count);
		await expectCounted(both.daemon, count);
	});

	it('attached before toascope, requesting all option callbacks as well: gets the same callbacks', async () => {
		const flags = flag.STATE | flag.PARSE_ALL;
		const baseline = await countsWithoutToascope(flags);
		await using both = await together('before toascope', () => ForeignSockops.attach(cgroup, port, flags));
		const withToascope = await counts(both.foreign, expectServed);
		expect(withToascope).toEqual(baseline);
		expect(withToascope[op.FLAGS_KEPT]).toBe(count);
		await expectCounted(both.daemon, count);
	});

	it.each(orders)('attached %s, requesting no callbacks: gets only those that toascope requests', async (order) => {
		const baseline = await countsWithoutToascope(0);
		await using both = await together(order, () => ForeignSockops.attach(cgroup, port, 0));
		const withToascope = await counts(both.foreign, expectServed);
		// the kernel has one set of flags for all programs: what toascope requests, the other gets,
		// too
		const requested: readonly number[] = [op.STATE, op.PARSE, op.FLAGS_KEPT];
		const others = (all: readonly number[]) => all.map((value, i) => (requested.includes(i) ? 0 : value));
		expect(others(withToascope)).toEqual(baseline);
		expect(withToascope[op.PARSE]).toBe(count);
	});

	it.each(orders)('attached %s: the receive window that it returns is used', async (order) => {
		/** tcpi_rcv_ssthresh of struct tcp_info. */
		const window = () => connect(async () => (await probe.getsockopt(6, 11, 104)).bytes.readUInt32LE(64));
		const plain = await window();
		const baseline = await (async () => {
			await using _foreign = await ForeignSockops.attach(cgroup, port, 0, 7);
			return await window();
		})();
		await using _both = await together(order, () => ForeignSockops.attach(cgroup, port, 0, 7));
		expect(await window()).toBe(baseline);
		expect(baseline).toBeLessThan(plain);
	});
});

describe('getsockopt', () => {
	const foreignOption = 7777;
	const foreignAnswer = '44332211';
	const foreignLookupSize = 24;

	/** Name, level, option, length. From asm-generic/socket.h, linux/in.h, linux/tcp.h. */
	const calls = [
		['its own option', IPPROTO_IP, foreignOption, 4],
		['an answer that it changes', IPPROTO_IP, 2, 4],
		['an option that it refuses', 1, 12, 4],
		['SO_ERROR', 1, 4, 4],
		['SO_LINGER, short', 1, 13, 5],
		['TCP_CONGESTION', 6, 13, 16],
		['an unknown option', IPPROTO_IP, 4097, 20],
	] as const;
	const largeCalls = [
		['its own option', IPPROTO_IP, foreignOption, 8192],
		['an answer that it changes', IPPROTO_IP, 2, 8192],
		['an option that it refuses', 1, 12, 8192],
		['SO_ERROR', 1, 4, 8192],
		['an unknown option', IPPROTO_IP, 4097, 8192],
	] as const;

	async function ask(all: typeof calls | typeof largeCalls): Promise<[string, OptionResult][]> {
		const results: [string, OptionResult][] = [];
		for (const [name, level, option, length] of all) {
			results.push([name, await probe.getsockopt(level, option, length)]);
		}
		return results;
	}

	/** What the calls returned, and what the other program saw. */
	async function observe(foreign: ForeignGetsockopt) {
		const answers = await ask(calls);
		const seen = await foreign.counts();
		const wanted = calls.map(([, level, option]) => `${level} ${option}`);
		return {
			answers: [...answers, ...(await ask(largeCalls))],
			// with a larger buffer, a program that runs after ours sees length 0: docs/limits.md
			seen: seen.filter(({ level, option }) => wanted.includes(`${level} ${option}`)),
		};
	}

	it.each(orders)('attached %s: sees the same calls, and its answers are kept', async (order) => {
		const baseline = await (async () => {
			await using foreign = await ForeignGetsockopt.attach(cgroup);
			return await connect(() => observe(foreign));
		})();
		await using both = await together(order, () => ForeignGetsockopt.attach(cgroup));
		const withToascope = await connect(async (made) => {
			const observed = await observe(both.foreign);
			await expectServed(made);
			return observed;
		});
		const sorted = (seen: readonly ObservedOption[]) =>
			seen.toSorted((a, b) => a.level - b.level || a.option - b.option);
		expect(withToascope.answers).toEqual(baseline.answers);
		expect(sorted(withToascope.seen)).toEqual(sorted(baseline.seen));

		// the other program did answer, change and refuse what it is meant to
		const of = (name: string) => withToascope.answers.filter(([each]) => each === name).map(([, result]) => result);
		for (const { result, length, bytes } of of('its own option')) {
			expect([result, length, bytes.toString('hex', 0, 4)]).toEqual([0, 4, foreignAnswer]);
		}
		for (const { bytes } of of('an answer that it changes')) expect(bytes[0]).toBe(99);
		for (const { error } of of('an option that it refuses')) expect(error).toBe('EPERM');
		expect(withToascope.seen).toHaveLength(calls.length);
	});

	it.each(orders)('attached %s: its answer to option 4096 is kept where there is no TOA', async (order) => {
		await using _both = await together(order, () => ForeignGetsockopt.attach(cgroup));
		await connect(async () => {
			const { result, length, bytes } = await probe.getsockopt(IPPROTO_IP, 4096, foreignLookupSize);
			expect([result, length, bytes.toString('hex', 0, 4)]).toEqual([0, 4, foreignAnswer]);
			expect(await probe.getsockopt(IPPROTO_IP, 4096, 20)).toMatchObject({ result: -1, error: noToaError });
		}, 'none');
		await connect(expectServed);
	});
});
