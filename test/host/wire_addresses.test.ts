// SPDX-License-Identifier: Apache-2.0
/**
 * Addresses and ports that are used again: in another namespace, by another process, for another
 * connection.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { closedConnection, lookUp, lookUpUntil } from '../kit/daemon/lookup.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { Listener, type ListenerTrait } from '../kit/wire/listener.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';
import { Wire, wireNetwork } from '../kit/wire/wire.ts';

const port = somePorts(5);
const [shared, reused, waited, observed, silent] = [port, port + 1, port + 2, port + 3, port + 4] as const;

const listenerAt = (at: number) => `${wireNetwork.server4}:${at}`;

let labs: readonly [Lab, Lab];
let wires: readonly [Wire, Wire];
let daemon: Daemon;

beforeAll(async () => {
	labs = await Promise.all([Lab.open(), Lab.open()]);
	wires = await Promise.all([Wire.open(labs[0]), Wire.open(labs[1])]);
	daemon = await Daemon.start({
		config: `listeners: {ports: [${port}-${port + 4}]}\ntrust: [${wireNetwork.hosts4}, "${wireNetwork.hosts6}"]`,
	});
	await Promise.all([...labs.map((lab) => Listener.start(lab, 'dual', shared)), Listener.start(labs[0], '4', reused)]);
});

afterAll(async () => {
	await daemon?.stop();
	await Promise.all(labs?.map((lab) => lab.close()) ?? []);
});

describe.each([
	{ family: 4, from: { address: '198.18.77.1', port: 4711 }, server: wireNetwork.server4 },
	{ family: 6, from: { address: '2001:db8:f::77', port: 4711 }, server: `[${wireNetwork.server6}]` },
] as const)('two namespaces, the same addresses and ports in both, over IPv$family', ({ family, from, server }) => {
	const clients = ['2001:db8::a', '2001:db8::b'];

	it('each connection has its own client, and the listener has the sum', async () => {
		const open = await Promise.all(
			wires.map((wire, index) =>
				wire.connection({ to: shared, family, from }).open(toaOption('nat64', clients[index] ?? '', 1000 + index)),
			),
		);
		const [one] = open;
		if (one === undefined) throw new Error('no connection');
		const both = await lookUpUntil(daemon, one.peer, ({ length }) => length === 2);
		for (const [index, lab] of labs.entries()) {
			const own = both.filter(({ netns }) => netns === lab.netnsInode('server'));
			expect(own).toMatchObject([{ client: { address: clients[index], port: 1000 + index }, state: 'open' }]);
		}
		for (const connection of open) connection.reset();
		await lookUpUntil(daemon, one.peer, (found) => found.every(({ state }) => state === 'closed'));
		const listener = `${server}:${shared}`;
		const samples = await metricsAtRest(daemon, listener, 2);
		expect(total(samples, 'toascope_handshakes_total', { listener, result: 'toa' })).toBe(2n);
		expect(total(samples, 'toascope_connections_closed_total', { listener })).toBe(2n);
	});
});

describe('a peer that connects again from the same port', () => {
	const wire = () => wires[0];

	it('after a reset: all connections are found, the newest first', async () => {
		const from = { address: '198.18.77.2', port: 4711 };
		const clients = Array.from({ length: 12 }, (_, index) => `2001:db8::${(index + 1).toString(16)}`);
		for (const address of clients) {
			const one = await wire().connection({ to: reused, from }).open(toaOption('nat64', address));
			one.reset();
			await lookUpUntil(
				daemon,
				one.peer,
				([newest]) => newest?.client?.address === address && newest.state === 'closed',
			);
		}
		const found = await lookUp(daemon, `${from.address}:${from.port}`);
		expect(found.map(({ client }) => client?.address)).toEqual(clients.toReversed());
	});

	it('without an option after a connection with one: nothing of the earlier connection remains', async () => {
		const from = { address: '198.18.77.3', port: 4711 };
		for (const [index, option] of [toaOption('nat64', '2001:db8::1'), undefined].entries()) {
			const one = await wire().connection({ to: reused, from }).open(option);
			one.reset();
			await lookUpUntil(daemon, one.peer, (all) => all.length > index && all.every(({ state }) => state === 'closed'));
		}
		const found = await lookUp(daemon, `${from.address}:${from.port}`);
		expect(found).toMatchObject([
			{ verdict: 'none', client: null },
			{ verdict: 'toa', client: { address: '2001:db8::1' } },
		]);
	});

	it('while the earlier connection is in TIME_WAIT on the server', async () => {
		const from = { address: '198.18.77.4', port: 4711 };
		await using listener = await Listener.start(labs[0], '4', waited);
		for (const [index, address] of ['2001:db8::1', '2001:db8::2'].entries()) {
			const one = wire().connection({ to: waited, from, initial: 1_000_000 * (index + 1) });
			await one.open(toaOption('nat64', address));
			await wire().handled();
			listener.closeConnections();
			one.markReceived(await one.finished());
			one.fin();
			await one.acknowledged(1);
			const all = await lookUpUntil(
				daemon,
				one.peer,
				(found) => found.length > index && found.every(({ state }) => state === 'closed'),
			);
			expect(all[0]).toMatchObject({ client: { address } });
		}
		expect(await lookUp(daemon, `${from.address}:${from.port}`)).toHaveLength(2);
	});
});

describe('a port on which another process listens immediately afterwards', () => {
	/**
	 * Makes one complete connection to a new listener. Checks what the daemon reports about it
	 * before the listener ends.
	 */
	async function serveOne(at: number, address: string, ...traits: ListenerTrait[]) {
		await using listener = await Listener.start(labs[0], '4', at, ...traits);
		const one = await wires[0].connection({ to: at }).open(toaOption('nat64', address));
		one.data('x');
		one.fin();
		one.markReceived(await one.finished());
		one.acknowledge();
		const reported = await closedConnection(daemon, one.peer);
		expect(reported).toMatchObject({ client: { address }, process: { pid: listener.pid } });
		return { peer: one.peer, pid: listener.pid };
	}

	it('each process owns the connections that it accepted, and the counters continue', async () => {
		const first = await serveOne(observed, '2001:db8::1');
		const second = await serveOne(observed, '2001:db8::2');
		expect(first.pid).not.toBe(second.pid);
		for (const { peer, pid } of [first, second]) {
			expect(await closedConnection(daemon, peer)).toMatchObject({ process: { pid, by: 'accept' } });
		}
		const samples = await metricsAtRest(daemon, listenerAt(observed), 2);
		expect(total(samples, 'toascope_handshakes_total', { listener: listenerAt(observed), result: 'toa' })).toBe(2n);
	});

	it('a connection whose accept is not observed is owned by the process that listened then', async () => {
		const first = await serveOne(silent, '2001:db8::1', 'silent');
		const second = await serveOne(silent, '2001:db8::2', 'silent');
		await using third = await Listener.start(labs[0], '4', silent, 'silent');
		for (const { peer, pid } of [first, second]) {
			const owner = (await closedConnection(daemon, peer)).process;
			// the process that listened then has ended: there is no owner unless the list of
			// listeners from that time is still available
			expect([pid, undefined]).toContain(owner?.pid);
			expect(owner?.pid).not.toBe(third.pid);
		}
	});
});
