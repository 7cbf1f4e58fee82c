// SPDX-License-Identifier: Apache-2.0
/**
 * The index of the connection table: it has every connection of the table by its peer and by its
 * client, also while slots are reused and after a restart; and nobody can choose addresses whose
 * hashes collide.
 */
import { expect, it } from 'vitest';
import type { ConnectionJson } from '../../daemon/api/connection.ts';
import { formatTime, parseTime } from '../../daemon/api/time.ts';
import { connectionLayout, constant } from '../../daemon/capture/records/layout.gen.ts';
import { readEndpoint } from '../../daemon/capture/records/records.ts';
import { Lab } from '../../daemon/lab/lab.ts';
import { type Endpoint, formatAddress, formatEndpoint } from '../../daemon/model/address.ts';
import { native } from '../../native/binding.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { lookUp, lookUpAll, lookUpQueries } from '../kit/daemon/lookup.ts';
import { Listener } from '../kit/wire/listener.ts';
import { SteadyLoad } from '../kit/wire/steady_load.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';
import { Wire, wireNetwork } from '../kit/wire/wire.ts';

const port = somePorts(1);
const pin = `/sys/fs/bpf/toascope-test-tags-${process.pid}`;
const peers = 64;

const pinned = (map: string) => native().pinnedMap(`${pin}/v${constant.TOASCOPE_LAYOUT}/maps/${map}`);

/**
 * For each port, the address in the hosts' /64 for which peer_hash() (bpf/records.h) would yield
 * one and the same value if this were its first multiplier.
 */
function colliding(from: number): { address: string; port: number } {
	const multiplier = 0x9e3779b97f4a7c15n;
	const bytes = Buffer.from('20010db8000f00000000000000000000', 'hex');
	const mixed = BigInt.asUintN(64, (bytes.readBigUInt64LE() ^ (BigInt(from) << 32n) ^ 6n) * multiplier);
	bytes.writeBigUInt64LE(0x0123456789abcdefn ^ mixed ^ (mixed >> 32n), 8);
	return { address: formatAddress(6, bytes), port: from };
}

/** What the table has of a connection. */
interface Entry {
	readonly peer: Endpoint;
	readonly client: Endpoint;
	readonly openedNs: bigint;
}

/** Every connection of the table that has a client. */
function tableEntries(): Entry[] {
	const { values, valueSize } = pinned('connections');
	const entries: Entry[] = [];
	for (let at = 0; at < values.length; at += valueSize) {
		// struct toa_client has the address and the port where struct endpoint has them
		const client = readEndpoint(values, at + connectionLayout.client);
		const peer = readEndpoint(values, at + connectionLayout.peer);
		if (values.readBigUInt64LE(at + connectionLayout.cookie) === 0n || client === undefined || peer === undefined)
			continue;
		entries.push({ peer, client, openedNs: values.readBigUInt64LE(at + connectionLayout.openedNs) });
	}
	return entries;
}

/** Expects lookups to find these connections by peer and by client, and no others. */
async function expectFound(daemon: Daemon, entries: readonly Entry[]): Promise<void> {
	const [any] = entries;
	if (any === undefined) throw new Error('the table is empty');
	const [known] = await lookUp(daemon, formatEndpoint(any.peer));
	// the same difference of the clocks for all of them
	const offsetNs = (parseTime(known?.opened_at ?? '') ?? 0n) - any.openedNs;
	const timesOf = (some: readonly Entry[]) => some.map(({ openedNs }) => formatTime(openedNs + offsetNs)).toSorted();
	const found = async (queries: readonly object[]) =>
		(await lookUpQueries(daemon, queries)).map((connections) =>
			connections.map(({ opened_at }) => opened_at).toSorted(),
		);
	const byPeer = [...Map.groupBy(entries, ({ peer }) => formatEndpoint(peer))];
	expect(await found(byPeer.map(([peer]) => ({ peer })))).toEqual(byPeer.map(([, some]) => timesOf(some)));
	const byClient = [...Map.groupBy(entries, ({ client }) => formatEndpoint(client))];
	expect(await found(byClient.map(([client]) => ({ client })))).toEqual(byClient.map(([, some]) => timesOf(some)));
	const byAddress = [...Map.groupBy(entries, ({ client }) => client.text)];
	const newest = (some: readonly Entry[]) =>
		timesOf([...some].toSorted((a, b) => (a.openedNs < b.openedNs ? 1 : -1)).slice(0, 100));
	expect(await found(byAddress.map(([client]) => ({ client })))).toEqual(byAddress.map(([, some]) => newest(some)));
}

it('has every connection of the table, while its slots are reused, and after a restart', async () => {
	const config = `listeners: {ports: [${port}]}
bpf: {pin: ${pin}}
connections: {max: 2048, retain: 1 h}
on_exit: keep`;
	let daemon = await Daemon.start({ config });
	await using _last = { [Symbol.asyncDispose]: async () => void (await daemon.stop()) };
	const retained = async () =>
		Number((await daemon.metrics()).find(({ name }) => name === 'toascope_connection_retained_seconds')?.value);
	// nothing had to leave yet
	expect(await retained()).toBe(3600);
	await using load = await SteadyLoad.start({ port, clients: 30, perSecond: 2000 });
	// under load, an entry of the dump can be replaced before it is looked up; what is found is right
	for (let round = 0; round < 10; round++) {
		await load.more(500);
		const peers = tableEntries()
			.slice(0, 200)
			.map(({ peer }) => formatEndpoint(peer));
		const found = await lookUpAll(daemon, peers);
		for (const [index, connections] of found.entries()) {
			expect(new Set(connections.map(({ peer }) => `${peer.address}:${peer.port}`)).size).toBeLessThan(2);
			for (const { peer } of connections) expect(`${peer.address}:${peer.port}`).toBe(peers[index]);
		}
		expect(found.some((connections) => connections.length > 0)).toBe(true);
	}
	const { closed } = await load.stop();
	// of so many connections, the table has held a few seconds
	expect(await retained()).toBeGreaterThan(0);
	expect(await retained()).toBeLessThan(60);
	const { out } = await toascope(['doctor', '--config', daemon.configFile]);
	expect(out).toMatch(/closed connections[^\n]*\n?[^\n]*can be looked up for \d+ s/);
	await metricsAtRest(daemon, load.listener, Number(closed));
	const entries = tableEntries();
	expect(entries.length).toBeGreaterThan(1500);
	await expectFound(daemon, entries);
	await daemon.stop();
	daemon = await Daemon.start({ config: config.replace('keep', 'detach') });
	await expectFound(daemon, entries);
});

it('finds one of many connections of a client by its port, and says that it shows only some of them', async () => {
	const config = `listeners: {ports: [${port}]}\nbpf: {pin: ${pin}}\nconnections: {max: 8192, retain: 1 h}\non_exit: keep`;
	let daemon = await Daemon.start({ config });
	await using _last = { [Symbol.asyncDispose]: async () => void (await daemon.stop()) };
	await using load = await SteadyLoad.start({ port, clients: 1, perSecond: 2000 });
	await load.more(4000);
	const { closed } = await load.stop();
	await metricsAtRest(daemon, load.listener, Number(closed));
	const entries = tableEntries();
	expect(entries.length).toBeGreaterThan(2000);
	const client = entries[0]?.client.text ?? '';
	const ofClient = async () => {
		const response = await fetch(`${daemon.url}/v1/connections?client=${client}`);
		return (await response.json()) as { connections: ConnectionJson[]; truncated?: boolean };
	};
	const all = await ofClient();
	expect([all.connections.length, all.truncated]).toEqual([100, true]);
	expect(new Set(all.connections.map((one) => one.client?.address))).toEqual(new Set([client]));
	expect(all.connections.map((one) => one.opened_at)).toEqual(
		all.connections
			.map((one) => one.opened_at)
			.toSorted()
			.toReversed(),
	);
	const some = entries.filter((_, index) => index % 50 === 0);
	const expectEach = async () => {
		const found = await lookUpQueries(
			daemon,
			some.map((one) => ({ client: formatEndpoint(one.client) })),
		);
		const ports = found.map((connections) => connections.map(({ peer }) => peer.port));
		for (const [index, { peer }] of some.entries()) expect(ports[index]).toContain(peer.port);
	};
	await expectEach();
	await daemon.stop();
	daemon = await Daemon.start({ config: config.replace('keep', 'detach') });
	await expectEach();
	expect((await ofClient()).truncated).toBe(true);
});

it('addresses that were chosen to share one hash all have different ones', async () => {
	await using lab = await Lab.open();
	const wire = await Wire.open(lab);
	await using daemon = await Daemon.start({
		config: `listeners: {ports: [${port}]}\ntrust: ["${wireNetwork.hosts6}"]\nbpf: {pin: ${pin}}`,
	});
	await Listener.start(lab, 'dual', port);
	const chosen = Array.from({ length: peers }, (_, index) => colliding(20_000 + index));
	const opened = await Promise.all(
		chosen.map((from) => wire.connection({ to: port, family: 6, from }).open(toaOption('nat64', '2001:db8::1'))),
	);
	const found = await lookUpAll(
		daemon,
		opened.map(({ peer }) => peer),
	);
	expect(found.map((connections) => connections.map(({ peer }) => peer))).toEqual(chosen.map((from) => [from]));

	const { values } = pinned('slot_hashes');
	const hashes = Array.from({ length: values.length / 8 }, (_, slot) => values.readUInt32LE(8 * slot));
	const used = hashes.filter((hash) => hash !== 0);
	expect(used).toHaveLength(peers);
	expect(new Set(used).size).toBe(peers);

	for (const connection of opened) connection.reset();
	await metricsAtRest(daemon, `[${wireNetwork.server6}]:${port}`, peers);
});
