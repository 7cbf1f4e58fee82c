// SPDX-License-Identifier: Apache-2.0
/**
 * More destinations than the table of listeners has slots for, dialled by a remote host (TPROXY): when they are idle a new
 * service finds a slot, and what they counted is in `other`, to the byte, also over a restart and a kill.
 */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../daemon/lab/lab.ts';
import { expectIdentity, listenerAccount, settled } from '../fixtures/accounts.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { Listener } from '../fixtures/listener.ts';
import { type Sample, total } from '../fixtures/metrics.ts';
import { somePorts } from '../fixtures/stage.ts';
import { toaOption } from '../fixtures/toa_option.ts';
import { hasNft, tproxy } from '../fixtures/tproxy.ts';
import { Wire, wireNetwork } from '../fixtures/wire.ts';

const slots = 256;
const destinations = 300;
const port = somePorts(destinations + 4);
const [service, second, third, real] = [0, 1, 2, 3].map((more) => port + destinations + more) as [
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

	/** Connections to so many ports from one on, with an option and some data, then the end. */
	async function visit(from: number, count = 1): Promise<void> {
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

	/** All that was counted, by whichever listener, is what was made. */
	async function expectExact(): Promise<Sample[]> {
		await daemon.until((samples) => sum(samples, 'connections_closed') >= made.opened || undefined);
		const samples = await settled(daemon, '', 0);
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

	it('a new service gets series of its own when they are idle, and other has their counts', async () => {
		await visit(port, destinations);
		const full = await expectExact();
		const other = listenerAccount(full, 'other');
		expect(other.opened).toBe(BigInt(destinations - slots));
		expect(sum(full, 'drops', { reason: 'listeners_full' })).toBe(BigInt(destinations - slots));
		const later = await daemon.until((samples) => (folded(samples) >= slots / 8 ? samples : undefined));
		expect(listenerAccount(later, 'other').opened).toBe(other.opened + BigInt(folded(later)));
		await visit(service);
		const samples = await expectExact();
		expect(listenerAccount(samples, label(service)).opened).toBe(1n);
		// the least recent ones went, those without a client first: the last of those that had a slot still has it
		expect(listenerAccount(samples, label(port + 1 - (port % 2))).opened).toBe(0n);
		expect(listenerAccount(samples, label(port + slots - 1)).opened).toBe(1n);
	});

	it.each(['SIGTERM', 'SIGKILL'] as const)('%s, and another daemon: the same, and it goes on', async (signal) => {
		const before = await expectExact();
		await daemon.stop(signal);
		daemon = await Daemon.start({ config });
		const after = await expectExact();
		expect(folded(after)).toBeGreaterThanOrEqual(folded(before));
		expect(listenerAccount(after, 'other').opened).toBeGreaterThanOrEqual(listenerAccount(before, 'other').opened);
		await visit(port, destinations);
		await daemon.until((samples) => folded(samples) >= folded(before) + slots / 8 || undefined);
		const next = signal === 'SIGTERM' ? second : third;
		await visit(next);
		expect(listenerAccount(await expectExact(), label(next)).opened).toBe(1n);
	});
});
