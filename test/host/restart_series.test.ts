// SPDX-License-Identifier: Apache-2.0
/** At rest, when nothing hides it: what series show before a kill they show after it, and no folding is done twice. */
import { expect, test } from 'vitest';
import { expectIdentity, settled } from '../fixtures/accounts.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { Grown } from '../fixtures/grown.ts';
import { total } from '../fixtures/metrics.ts';
import { somePorts } from '../fixtures/stage.ts';
import { SteadyLoad } from '../fixtures/steady_load.ts';

const port = somePorts(1);
const config = (idle: string, maxExported = 500) =>
	[
		`listeners: {ports: [${port}]}`,
		`bpf: {pin: /sys/fs/bpf/toascope-test-${process.pid}}`,
		`clients: {capacity: 4000, max_exported: ${maxExported}, idle: ${idle}}`,
	].join('\n');

test('at rest, a daemon after a kill shows the very same series, and folding goes on where it was', async () => {
	let daemon = await Daemon.start({ config: config('1 h') });
	await using _last = { [Symbol.asyncDispose]: async () => void (await daemon.stop()) };
	await using load = await SteadyLoad.start({ port, clients: 5000 });
	const next = async (...how: Parameters<typeof config>) => {
		expect(await daemon.stop('SIGKILL')).toBe('SIGKILL');
		daemon = await Daemon.start({ config: config(...how) });
	};
	// what opens while nobody looks has no series, also after it
	await load.more(2000);
	await next('1 h');
	await load.more(20_000);
	const { closed } = await load.stop();
	const rest = await settled(daemon, load.listener, Number(closed));
	expect(total(rest, 'toascope_clients_tracked')).toBe(4000n);
	expect(total(rest, 'toascope_clients_exported')).toBe(500n);
	expectIdentity(rest, load.listener);
	const series = new Grown();
	const before = await series.look(daemon);
	// there is room for more series: they begin at 0, and nothing of what was shown changes
	await next('1 h', 1000);
	const samples = await daemon.metrics();
	expect(total(samples, 'toascope_clients_exported')).toBe(1000n);
	expectIdentity(samples, load.listener);
	const after = await series.look(daemon);
	for (const [one, value] of before) expect([one, after.get(one)]).toEqual([one, value]);
	const begun = [...after].filter(([one]) => !before.has(one)).map(([, value]) => value);
	expect([begun.length > 500, new Set(begun)]).toEqual([true, new Set([0n])]);

	let tracked = 4000n;
	while (tracked > 0n) {
		await next('1 s');
		const samples = await daemon.metrics();
		expectIdentity(samples, load.listener);
		await series.look(daemon);
		tracked = total(samples, 'toascope_clients_tracked');
	}
	expect(total(await daemon.metrics(), 'toascope_clients_folded_total')).toBe(4000n);
});
