// SPDX-License-Identifier: Apache-2.0
/** Peers with a network of their own choose addresses; not which of them a lookup takes for each other at first. */
import { expect, it } from 'vitest';
import { limit } from '../../daemon/capture/layout.gen.ts';
import { native } from '../../daemon/capture/native.ts';
import { Lab } from '../../daemon/lab/lab.ts';
import { formatAddress } from '../../daemon/model/address.ts';
import { settled } from '../fixtures/accounts.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { Listener } from '../fixtures/listener.ts';
import { lookUpAll } from '../fixtures/lookup.ts';
import { somePorts } from '../fixtures/stage.ts';
import { toaOption } from '../fixtures/toa_option.ts';
import { Wire, wireNetwork } from '../fixtures/wire.ts';

const port = somePorts(1);
const pin = `/sys/fs/bpf/toascope-test-tags-${process.pid}`;
const peers = 64;

/** For each port the address in the hosts' /64 that peer_tag() (bpf/records.h) mixes to one value, if this were its first multiplier. */
function alike(from: number): { address: string; port: number } {
	const multiplier = 0x9e3779b97f4a7c15n;
	const bytes = Buffer.from('20010db8000f00000000000000000000', 'hex');
	const mixed = BigInt.asUintN(64, (bytes.readBigUInt64LE() ^ (BigInt(from) << 32n) ^ 6n) * multiplier);
	bytes.writeBigUInt64LE(0x0123456789abcdefn ^ mixed ^ (mixed >> 32n), 8);
	return { address: formatAddress(6, bytes), port: from };
}

it('addresses that were chosen to have one tag have many', async () => {
	await using lab = await Lab.open();
	const wire = await Wire.open(lab);
	await using daemon = await Daemon.start({
		config: `listeners: {ports: [${port}]}\ntrust: ["${wireNetwork.hosts6}"]\nbpf: {pin: ${pin}}`,
	});
	await Listener.start(lab, 'dual', port);
	const chosen = Array.from({ length: peers }, (_, index) => alike(20_000 + index));
	const opened = await Promise.all(
		chosen.map((from) => wire.connection({ to: port, family: 6, from }).open(toaOption('nat64', '2001:db8::1'))),
	);
	const found = await lookUpAll(
		daemon,
		opened.map(({ peer }) => peer),
	);
	expect(found.map((connections) => connections.map(({ peer }) => peer))).toEqual(chosen.map((from) => [from]));

	const { values } = native().pinnedMap(`${pin}/v${limit.TOASCOPE_LAYOUT}/maps/peer_tags`);
	const tags = Array.from({ length: values.length / 4 }, (_, slot) => values.readUInt32LE(4 * slot));
	const used = tags.filter((tag) => tag !== 0);
	expect(used).toHaveLength(peers);
	expect(new Set(used).size).toBe(peers);

	for (const connection of opened) connection.reset();
	await settled(daemon, `[${wireNetwork.server6}]:${port}`, peers);
});
