// SPDX-License-Identifier: Apache-2.0
/**
 * A peer with its own network can choose its addresses, but not addresses whose hashes collide in
 * the lookup.
 */
import { expect, it } from 'vitest';
import { constant } from '../../daemon/capture/records/layout.gen.ts';
import { Lab } from '../../daemon/lab/lab.ts';
import { formatAddress } from '../../daemon/model/address.ts';
import { native } from '../../native/binding.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { lookUpAll } from '../kit/daemon/lookup.ts';
import { Listener } from '../kit/wire/listener.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';
import { Wire, wireNetwork } from '../kit/wire/wire.ts';

const port = somePorts(1);
const pin = `/sys/fs/bpf/toascope-test-tags-${process.pid}`;
const peers = 64;

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

	const { values } = native().pinnedMap(`${pin}/v${constant.TOASCOPE_LAYOUT}/maps/peer_hashes`);
	const hashes = Array.from({ length: values.length / 4 }, (_, slot) => values.readUInt32LE(4 * slot));
	const used = hashes.filter((hash) => hash !== 0);
	expect(used).toHaveLength(peers);
	expect(new Set(used).size).toBe(peers);

	for (const connection of opened) connection.reset();
	await metricsAtRest(daemon, `[${wireNetwork.server6}]:${port}`, peers);
});
