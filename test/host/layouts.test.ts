// SPDX-License-Identifier: Apache-2.0
/**
 * An upgrade to a version with another layout of its records, and back: the counters are migrated
 * field by field, and nothing else is left.
 */
import { once } from 'node:events';
import { existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { constant } from '../../daemon/capture/records/layout.gen.ts';
import { network } from '../../daemon/lab/lab.ts';
import { headerSize } from '../../daemon/lab/protocol.ts';
import { Daemon, main } from '../kit/daemon/daemon.ts';
import { clientTotals, expectIdentity, listenerTotals, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { allGone, kernelObjectsOf } from '../kit/kernel/bpf_objects.ts';
import { buildOtherLayout, otherLayout } from '../kit/kernel/other_layout.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { MonotonicWatch } from '../kit/telemetry/monotonic_watch.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { SteadyLoad } from '../kit/wire/steady_load.ts';
import { Stage, somePorts } from '../kit/wire/toa_stage.ts';

const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const port = somePorts(3);
const loadPort = port + 2;
const config = [
	`listeners: {ports: [${port}-${loadPort}]}`,
	`bpf: {pin: ${pin}}`,
	'clients: {capacity: 300, max_exported: 50, idle: 1 h}',
].join('\n');
const layout = `v${constant.TOASCOPE_LAYOUT}`;

let program: string;
beforeAll(() => {
	program = buildOtherLayout();
}, scaleTimeout(180_000));

let daemon: Daemon;
let load: SteadyLoad;
/** Starts the other version, and a load from this many clients. */
async function begin(clients: number): Promise<void> {
	daemon = await Daemon.start({ config, program });
	load = await SteadyLoad.start({ port: loadPort, clients });
	await load.more(4000);
}
afterEach(async () => {
	await load[Symbol.asyncDispose]();
	await daemon.stop();
	expect(existsSync(pin)).toBe(false);
});

/**
 * Kills the daemon and starts this program. Resolves with its log line about the counters that it
 * found.
 */
async function restartWith(version: string) {
	const objects = kernelObjectsOf(daemon.child.pid ?? 0);
	await daemon.stop('SIGKILL');
	daemon = await Daemon.start({ config, program: version });
	expect(readdirSync(pin)).toEqual([version === program ? otherLayout : layout]);
	await allGone(objects);
	const lines = daemon.log.filter(({ msg }) => /layout|zero/.test(msg));
	expect(lines).toHaveLength(1);
	return lines[0];
}

test('at rest with open connections: every series keeps its value, except that the connections count as closed', async () => {
	await begin(200);
	const totals = await load.stop();
	await using stage = await Stage.open(port);
	await using held = await stage.connect('AF_INET', 'nat64');
	// a further connection without a verdict: its client sends nothing
	const server = createServer().listen(loadPort, '127.0.0.2').unref();
	await using _server = { [Symbol.asyncDispose]: async () => void server.close() };
	await once(server, 'listening');
	const silent = connect(loadPort, '127.0.0.2').unref();
	await Promise.all([once(server, 'connection'), once(silent, 'connect')]);
	const pending = `127.0.0.2:${loadPort}`;
	expectIdentity(await metricsAtRest(daemon, load.listener, Number(totals.closed)), load.listener);
	const probed = `${network.server}:${port}`;
	// a collection reads clients before listeners: a count that a client's series shows is already
	// in its listener's series
	const flushed = (samples: Sample[]) =>
		[...clientTotals(samples, probed).values()].some(({ received }) => received === BigInt(headerSize));
	await daemon.until((samples) => flushed(samples) || undefined);
	const series = new MonotonicWatch();
	const before = await series.check(daemon);

	expect(await restartWith(main)).toMatchObject({
		level: 40,
		layout: otherLayout,
		open: 2,
		lost: expect.arrayContaining(['clients.traffic.only_in_variant', 'listeners.total.only_in_variant']),
	});
	const after = await series.check(daemon);
	expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
	const changed = [...after]
		.filter(([name, value]) => before.get(name) !== value && !name.includes(pending))
		.map(([name]) => name);
	// the RTT of an open connection is sampled every ten seconds or so, and also by the last sweep
	// of the other layout
	const isSampled = (name: string) => name.includes('rtt') && name.includes(probed);
	const closed = /closed|duration.*count|close_unheard/;
	expect(changed.filter((name) => !closed.test(name) && !isSampled(name))).toEqual([]);
	expect(changed.length).toBeGreaterThanOrEqual(3);
	for (const listener of [load.listener, probed, pending]) expectIdentity(await daemon.metrics(), listener);
	const heldTotals = listenerTotals(await daemon.metrics(), probed);
	expect([heldTotals.opened, heldTotals.closed]).toEqual([1n, 1n]);
	const none = { listener: pending, result: 'none' };
	expect(total(await daemon.metrics(), 'toascope_handshakes_total', none)).toBe(1n);
	// closing these connections must not count them a second time
	silent.destroy();
	await held[Symbol.asyncDispose]();
	{
		await using _other = await stage.connect('AF_INET', 'nat64');
	}
	expect(listenerTotals(await metricsAtRest(daemon, probed, 2), probed)).toMatchObject({ opened: 2n, closed: 2n });
	expectIdentity(await daemon.metrics(), probed);
	// the migrated entry of the client works like one that this version created
	expect(total(await daemon.metrics(), 'toascope_drops_total', { reason: 'client_folding' })).toBe(0n);

	// the way back
	const ours = await series.check(daemon);
	const line = await restartWith(program);
	expect(line).toMatchObject({ level: 30, layout, open: 0 });
	expect(line).not.toHaveProperty('lost');
	expect(await series.check(daemon)).toEqual(ours);
});

test('under load: no counter decreases, and the sums agree', async () => {
	// more clients than the table has entries for
	await begin(400);
	const series = new MonotonicWatch();
	for (const version of [main, program]) {
		await series.check(daemon);
		await load.more(100);
		await restartWith(version);
		await series.check(daemon);
		await load.more(100);
	}
	const totals = await load.stop();
	// connections that were open during a change of layout, or opened meanwhile, are counted as
	// closed without a callback, or are not observed at all
	const rest = await daemon.until((found) => {
		const { opened, closed } = listenerTotals(found, load.listener);
		return opened === closed ? closed : undefined;
	});
	const samples = await metricsAtRest(daemon, load.listener, Number(rest));
	expectIdentity(samples, load.listener);
	await series.check(daemon);
	// not more than the load has made
	const { opened } = listenerTotals(samples, load.listener);
	expect(opened).toBeLessThanOrEqual(totals.opened);
});

test('killed during a migration: the next daemon migrates, and only once', async () => {
	await begin(400);
	const totals = await load.stop();
	await metricsAtRest(daemon, load.listener, Number(totals.closed));
	const series = new MonotonicWatch();
	const before = await series.check(daemon);
	await daemon.stop('SIGKILL');
	// pin the maps a second time: the directory is then as after a start that was killed when
	// everything was written but nothing was attached yet
	const [maps, kept] = [join(pin, otherLayout, 'maps'), `${pin}-kept`];
	mkdirSync(kept);
	for (const name of readdirSync(maps)) linkSync(join(maps, name), join(kept, name));
	daemon = await Daemon.start({ config });
	await daemon.stop('SIGKILL');
	for (const name of readdirSync(join(pin, layout, 'links'))) rmSync(join(pin, layout, 'links', name));
	mkdirSync(maps, { recursive: true });
	for (const name of readdirSync(kept)) renameSync(join(kept, name), join(maps, name));
	rmdirSync(kept);

	daemon = await Daemon.start({ config });
	expect(daemon.log.filter(({ msg }) => /layout|zero/.test(msg))).toMatchObject([{ layout: otherLayout, open: 0 }]);
	expect(readdirSync(pin)).toEqual([layout]);
	expect(await series.check(daemon)).toEqual(before);

	// killed when it already counts, but has not yet removed the other layout
	await daemon.stop('SIGKILL');
	mkdirSync(join(pin, otherLayout));
	daemon = await Daemon.start({ config });
	expect((await daemon.logged(/^attached/)).adopted).toBe(true);
	expect(daemon.log.filter(({ msg }) => /layout|zero/.test(msg))).toEqual([]);
	expect(readdirSync(pin)).toEqual([layout]);
	expect(await series.check(daemon)).toEqual(before);
});

test('counters that cannot be migrated: one log line says so, and none of their pins remain', async () => {
	await begin(400);
	await load.stop();
	rmSync(join(pin, otherLayout, 'maps/clients'));
	expect(await restartWith(main)).toMatchObject({ level: 40, layout: otherLayout, why: 'clients: missing' });
	expect(total(await daemon.metrics(), 'toascope_connections_opened_total')).toBe(0n);
});
