// SPDX-License-Identifier: Apache-2.0
/** Addresses and ports that come again: in another namespace, from another process, on another connection. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../daemon/lab/lab.ts';
import { settled } from '../fixtures/accounts.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { Listener, type ListenerTrait } from '../fixtures/listener.ts';
import { closedConnection, lookUp, lookUpUntil } from '../fixtures/lookup.ts';
import { total } from '../fixtures/metrics.ts';
import { somePorts } from '../fixtures/stage.ts';
import { toaOption } from '../fixtures/toa_option.ts';
import { Wire, wireNetwork } from '../fixtures/wire.ts';

const port = somePorts(5);
const [shared, reused, waited, seen, silent] = [port, port + 1, port + 2, port + 3, port + 4] as const;

const place = (at: number) => `${wireNetwork.server4}:${at}`;

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
] as const)('two namespaces, the same four addresses and ports, over IPv$family', ({ family, from, server }) => {
	const clients = ['2001:db8::a', '2001:db8::b'];

	it('each connection has its own client, the listener the sum', async () => {
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
		const samples = await settled(daemon, listener, 2);
		expect(total(samples, 'toascope_handshakes_total', { listener, result: 'toa' })).toBe(2n);
		expect(total(samples, 'toascope_connections_closed_total', { listener })).toBe(2n);
	});
});

describe('a peer that comes again from the same port', () => {
	const wire = () => wires[0];

	it('after a reset: all are found, the newest first', async () => {
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

	it('without an option after one with it: nothing of the one before sticks', async () => {
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

	it('out of the TIME_WAIT of the server', async () => {
		const from = { address: '198.18.77.4', port: 4711 };
		await using listener = await Listener.start(labs[0], '4', waited);
		for (const [index, address] of ['2001:db8::1', '2001:db8::2'].entries()) {
			const one = wire().connection({ to: waited, from, initial: 1_000_000 * (index + 1) });
			await one.open(toaOption('nat64', address));
			await wire().handled();
			listener.closeConnections();
			one.took(await one.finished());
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

describe('a port that another process listens on at once', () => {
	/** One connection to a listener, from its first to its last segment, and what is said of it before the listener ends. */
	async function serveOne(at: number, address: string, ...traits: ListenerTrait[]) {
		await using listener = await Listener.start(labs[0], '4', at, ...traits);
		const one = await wires[0].connection({ to: at }).open(toaOption('nat64', address));
		one.data('x');
		one.fin();
		one.took(await one.finished());
		one.acknowledge();
		const said = await closedConnection(daemon, one.peer);
		expect(said).toMatchObject({ client: { address }, process: { pid: listener.pid } });
		return { peer: one.peer, pid: listener.pid };
	}

	it('each process owns what it accepted, the counters go on', async () => {
		const first = await serveOne(seen, '2001:db8::1');
		const second = await serveOne(seen, '2001:db8::2');
		expect(first.pid).not.toBe(second.pid);
		for (const { peer, pid } of [first, second]) {
			expect(await closedConnection(daemon, peer)).toMatchObject({ process: { pid, by: 'accept' } });
		}
		const samples = await settled(daemon, place(seen), 2);
		expect(total(samples, 'toascope_handshakes_total', { listener: place(seen), result: 'toa' })).toBe(2n);
	});

	it('accepts that are not seen are owned by who listened then', async () => {
		const first = await serveOne(silent, '2001:db8::1', 'silent');
		const second = await serveOne(silent, '2001:db8::2', 'silent');
		await using third = await Listener.start(labs[0], '4', silent, 'silent');
		for (const { peer, pid } of [first, second]) {
			const owner = (await closedConnection(daemon, peer)).process;
			// who listened then is gone: nobody, as long as no look from then is at hand
			expect([pid, undefined]).toContain(owner?.pid);
			expect(owner?.pid).not.toBe(third.pid);
		}
	});
});
