// SPDX-License-Identifier: Apache-2.0
/**
 * A version with the same records adopts the pins of the one before, under load: no connection and
 * no accept is missed or counted twice.
 */
import { expect, test } from 'vitest';
import { Pins } from '../../daemon/capture/pinning/pins.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { expectIdentity, listenerTotals, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { pinned } from '../kit/kernel/bpf_objects.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { SteadyLoad } from '../kit/wire/steady_load.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const port = somePorts(1);
const config = `listeners: {ports: [${port}]}\nbpf: {pin: ${pin}}`;

test('upgrades under load', { timeout: scaleTimeout(120_000) }, async () => {
	let daemon = await Daemon.start({ config: `${config}\non_exit: keep` });
	await using _last = { [Symbol.asyncDispose]: async () => void (await daemon.stop()) };
	await using load = await SteadyLoad.start({ port, clients: 1000, nice: true });
	for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
		await load.more(100);
		const before = pinned(Pins.linksIn(pin));
		await daemon.stop(signal);
		await load.more(100);
		daemon = await Daemon.start({ config });
		expect((await daemon.logged(/^attached/)).adopted).toBe(true);
		const after = pinned(Pins.linksIn(pin));
		expect([...after.keys()]).toEqual([...before.keys()]);
		for (const [name, { id, program, type }] of after) {
			const old = before.get(name);
			expect(program, `the program of ${name}`).not.toBe(old?.program);
			// a link to a function of the kernel is new, and was attached before the old one was
			// detached
			if (type === 'cgroup') expect(id, `the link of ${name}`).toBe(old?.id);
			else expect(id, `the link of ${name}`).not.toBe(old?.id);
		}
	}
	await load.more(100);
	const totals = await load.stop();
	const samples = await metricsAtRest(daemon, load.listener, Number(totals.closed));
	expect(listenerTotals(samples, load.listener)).toEqual(totals);
	expectIdentity(samples, load.listener);
	const accepts = (seen: string) => total(samples, 'toascope_accepts_total', { listener: load.listener, seen });
	expect(accepts('fexit') + accepts('getpeername') + accepts('unseen')).toBe(totals.opened);
	// the kernel itself can miss a few: docs/limits.md
	expect(accepts('unseen')).toBeLessThan(totals.opened / 100n);
	expect(total(samples, 'toascope_handshakes_total', { result: 'toa' })).toBe(totals.opened);
	const options = (segment: string) => total(samples, 'toascope_options_total', { listener: load.listener, segment });
	expect(options('ack')).toBe(totals.opened);
});
