// SPDX-License-Identifier: Apache-2.0
/**
 * At rest, where no traffic hides a difference: series show after a kill what they showed before
 * it, and nothing is folded twice.
 */
import { expect, test } from 'vitest';
import { Daemon } from '../kit/daemon/daemon.ts';
import { expectIdentity, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { MonotonicWatch } from '../kit/telemetry/monotonic_watch.ts';
import { SteadyLoad } from '../kit/wire/steady_load.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const config = (idle: string, maxExported = 500) =>
	[
		`listeners: {ports: [${port}]}`,
		`bpf: {pin: /sys/fs/bpf/toascope-test-${process.pid}}`,
		`clients: {capacity: 4000, max_exported: ${maxExported}, idle: ${idle}}`,
	].join('\n');

test('at rest, the daemon after a kill shows exactly the same series, and folding continues', async () => {
	let daemon = await Daemon.start({ config: config('1 h') });
	await using _last = { [Symbol.asyncDispose]: async () => void (await daemon.stop()) };
	await using load = await SteadyLoad.start({ port, clients: 5000 });
	const next = async (...how: Parameters<typeof config>) => {
		expect(await daemon.stop('SIGKILL')).toBe('SIGKILL');
		daemon = await Daemon.start({ config: config(...how) });
	};
	// a client whose connections opened while no daemon was running has no series, even afterwards
	await load.more(2000);
	await next('1 h');
	await load.more(20_000);
	const { closed } = await load.stop();
	const rest = await metricsAtRest(daemon, load.listener, Number(closed));
	expect(total(rest, 'toascope_clients_tracked')).toBe(4000n);
	expect(total(rest, 'toascope_clients_exported')).toBe(500n);
	expectIdentity(rest, load.listener);
	const series = new MonotonicWatch();
	const before = await series.check(daemon);
	// the limit now permits more series: they begin at 0, and those that were shown do not change
	await next('1 h', 1000);
	const samples = await daemon.metrics();
	expect(total(samples, 'toascope_clients_exported')).toBe(1000n);
	expectIdentity(samples, load.listener);
	const after = await series.check(daemon);
	for (const [one, value] of before) expect([one, after.get(one)]).toEqual([one, value]);
	const begun = [...after].filter(([one]) => !before.has(one)).map(([, value]) => value);
	expect([begun.length > 500, new Set(begun)]).toEqual([true, new Set([0n])]);

	let tracked = 4000n;
	while (tracked > 0n) {
		await next('1 s');
		const samples = await daemon.metrics();
		expectIdentity(samples, load.listener);
		await series.check(daemon);
		tracked = total(samples, 'toascope_clients_tracked');
	}
	expect(total(await daemon.metrics(), 'toascope_clients_folded_total')).toBe(4000n);
});
