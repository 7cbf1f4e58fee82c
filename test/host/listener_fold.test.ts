// SPDX-License-Identifier: Apache-2.0
/**
 * A remote host connects, through TPROXY, to more destinations than the table of listeners has
 * slots. When the destinations are idle, a new listener gets a slot, and their counts are in
 * `other`, exact to the byte, also across a restart and a kill.
 */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { expectIdentity, listenerTotals, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { Listener } from '../kit/wire/listener.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';
import { hasNft, tproxy } from '../kit/wire/tproxy.ts';
import { Wire, wireNetwork } from '../kit/wire/wire.ts';

const slots = 256;
const destinations = 300;
const port = somePorts(destinations + 4);
const [first, second, third, real] = [0, 1, 2, 3].map((more) => port + destinations + more) as [
	number,
	number,
	number,
	number,
];
const pin = `/sys/fs/bpf/toascope-listener-fold-${process.pid}`;
const config = [
	`listeners: {ports: [${port}-${real - 1}], max: ${slots}}`,
	`trust: [${wireNetwork.hosts4}]`,
	'clients: {idle: 2 s}',
	`bpf: {pin: ${pin}}`,
	'on_exit: keep',
].join('\n');
const nat64 = toaOption('nat64', '2001:db8::42');
const label = (to: number) => `${wireNetwork.server4}:${to}`;

describe.skipIf(!hasNft())('300 destinations and 256 slots', () => {
	let lab: Lab;
	let wire: Wire;
	let daemon: Daemon;
	const made = { opened: 0n, bytes: 0n, toa: 0n };

	beforeAll(async () => {
		lab = await Lab.open();
		wire = await Wire.open(lab);
		await tproxy(lab, `${port}-${real - 1}`, real);
		await Listener.start(lab, '4', real, 'transparent');
		daemon = await Daemon.start({ config });
	});
	afterAll(async () => {
		await daemon?.stop();
		await lab?.close();
		rmSync(pin, { recursive: true, force: true });
	});

	/**
	 * Makes one connection to each of `count` ports, beginning with `from`: an option on even
	 * ports, some data, and a reset.
	 */
	async function connectEach(from: number, count = 1): Promise<void> {
		for (let to = from; to < from + count; to++) {
			const one = wire.connection({ to });
			one.syn();
			await one.synAck();
			one.acknowledge(to % 2 === 0 ? nat64 : undefined);
			one.data('hello');
			await one.acknowledged(5);
			one.reset();
			made.opened++;
			made.bytes += 5n;
			if (to % 2 === 0) made.toa++;
		}
		await wire.handled();
	}

	const sum = (samples: readonly Sample[], name: string, labels: Record<string, string> = {}) =>
		total(samples, `toascope_${name}_total`, labels);
	const folded = (samples: readonly Sample[]) => Number(sum(samples, 'listeners_folded'));

	/** Expects the sums over all listeners to equal the connections that were made. */
	async function expectExact(): Promise<Sample[]> {
		await daemon.until((samples) => sum(samples, 'connections_closed') >= made.opened || undefined);
		const samples = await metricsAtRest(daemon, '', 0);
		expect(sum(samples, 'connections_opened')).toBe(made.opened);
		expect(sum(samples, 'connections_closed')).toBe(made.opened);
		expect(sum(samples, 'received_bytes')).toBe(made.bytes);
		expect(sum(samples, 'handshakes', { result: 'toa' })).toBe(made.toa);
		expect(sum(samples, 'handshakes', { result: 'none' })).toBe(made.opened - made.toa);
		expect(sum(samples, 'options')).toBe(made.toa);
		for (const listener of new Set(samples.flatMap(({ labels }) => labels.listener ?? []))) {
			expectIdentity(samples, listener);
		}
		return samples;
	}

	it('when the listeners are idle, a new one gets its own series, and `other` has the counts of those that it replaced', async () => {
		await connectEach(port, destinations);
		const full = await expectExact();
		const other = listenerTotals(full, 'other');
		expect(other.opened).toBe(BigInt(destinations - slots));
		expect(sum(full, 'drops', { reason: 'listeners_full' })).toBe(BigInt(destinations - slots));
		const later = await daemon.until((samples) => (folded(samples) >= slots / 8 ? samples : undefined));
		expect(listenerTotals(later, 'other').opened).toBe(other.opened + BigInt(folded(later)));
		await connectEach(first);
		const samples = await expectExact();
		expect(listenerTotals(samples, label(first)).opened).toBe(1n);
		// the least recently used ones were folded, those without a client first: the last of those
		// that had a slot still has it
		expect(listenerTotals(samples, label(port + 1 - (port % 2))).opened).toBe(0n);
		expect(listenerTotals(samples, label(port + slots - 1)).opened).toBe(1n);
	});

	it.each(['SIGTERM', 'SIGKILL'] as const)('%s, then another daemon: same counts, more folding', async (signal) => {
		const before = await expectExact();
		await daemon.stop(signal);
		daemon = await Daemon.start({ config });
		const after = await expectExact();
		expect(folded(after)).toBeGreaterThanOrEqual(folded(before));
		expect(listenerTotals(after, 'other').opened).toBeGreaterThanOrEqual(listenerTotals(before, 'other').opened);
		await connectEach(port, destinations);
		await daemon.until((samples) => folded(samples) >= folded(before) + slots / 8 || undefined);
		const next = signal === 'SIGTERM' ? second : third;
		await connectEach(next);
		expect(listenerTotals(await expectExact(), label(next)).opened).toBe(1n);
	});
});
