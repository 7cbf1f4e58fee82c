// SPDX-License-Identifier: Apache-2.0
/**
 * The daemon is stopped (SIGSTOP) under load until the ring is full: each dropped record is
 * counted, and no counter is wrong.
 */
import { expect, test } from 'vitest';
import { Daemon } from '../kit/daemon/daemon.ts';
import { expectIdentity, listenerTotals, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { MonotonicWatch } from '../kit/telemetry/monotonic_watch.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { SteadyLoad } from '../kit/wire/steady_load.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const program = new URL('../kit/daemon/listening_daemon.ts', import.meta.url).pathname;
const port = somePorts(1);
const ringBytes = 1 << 20;
/** Each record has 168 bytes and a header of 8. */
const recordsInRing = Math.floor(ringBytes / 176);
const config = [
	`listeners: {ports: [${port}]}`,
	`bpf: {pin: off, ring_bytes: ${ringBytes}}`,
	'clients: {max_exported: 500, idle: 500 ms}',
].join('\n');

const dropped = (samples: readonly Sample[]) => total(samples, 'toascope_drops_total', { reason: 'ring_full' });

async function received(daemon: Daemon): Promise<bigint> {
	const from = daemon.log.length;
	daemon.child.kill('SIGUSR2');
	const { opened, accepted, closed } = await daemon.logged(/^received/, from);
	return [opened, accepted, closed].reduce<bigint>((sum, count) => sum + BigInt(count as number), 0n);
}

test('stopped twice under load', { timeout: scaleTimeout(120_000) }, async () => {
	await using daemon = await Daemon.start({ config, program });
	await using load = await SteadyLoad.start({ port, clients: 2000 });
	const series = new MonotonicWatch();
	for (let stop = 0; stop < 2; stop++) {
		await load.more(1000);
		const before = await received(daemon);
		await series.check(daemon);
		daemon.child.kill('SIGSTOP');
		// three records for each connection, and two full rings
		await load.more((2 * recordsInRing) / 3 + 10_000);
		daemon.child.kill('SIGCONT');
		await series.check(daemon);
		// the daemon receives records again
		await expect.poll(() => received(daemon), { timeout: scaleTimeout(20_000) }).toBeGreaterThan(before);
	}
	const totals = await load.stop();
	const samples = await metricsAtRest(daemon, load.listener, Number(totals.closed));
	expect(listenerTotals(samples, load.listener)).toEqual(totals);
	expectIdentity(samples, load.listener);
	await series.check(daemon);

	const verdicts = total(samples, 'toascope_handshakes_total', { listener: load.listener });
	const unseen = total(samples, 'toascope_accepts_total', { listener: load.listener, seen: 'unseen' });
	const accepts = total(samples, 'toascope_accepts_total', { listener: load.listener }) - unseen;
	expect(verdicts).toBe(totals.opened);
	expect(accepts + unseen).toBe(totals.opened);
	expect(dropped(samples)).toBeGreaterThan(10_000n);
	// each record was received, or is counted as dropped
	const emitted = verdicts + accepts + totals.closed;
	await expect.poll(() => received(daemon), { timeout: scaleTimeout(20_000) }).toBe(emitted - dropped(samples));
	expect(total(samples, 'toascope_drops_total', { reason: 'close_unheard' })).toBe(0n);
});
