// SPDX-License-Identifier: Apache-2.0
/**
 * SIGKILL at full load, again and again: no connection and no byte is lost, no counter decreases,
 * and nothing is attached twice.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Pins } from '../../daemon/capture/pinning/pins.ts';
import { network } from '../../daemon/lab/lab.ts';
import { Daemon, main } from '../kit/daemon/daemon.ts';
import { expectIdentity, listenerTotals, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { allGone, kernelObjectsOf, remaining } from '../kit/kernel/bpf_objects.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { MonotonicWatch } from '../kit/telemetry/monotonic_watch.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { SteadyLoad } from '../kit/wire/steady_load.ts';
import { clientAddress, Stage, somePorts } from '../kit/wire/toa_stage.ts';

const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const port = somePorts(3);
const loadPort = port + 2;
const kills = 20;
/** A slow machine folds the clients between two rounds, so that few of their series continue. */
const roundsMax = 30;

/**
 * A small table, and clients that return soon after they were idle: at any time some are folded and
 * others find the table full.
 */
const config = [
	`listeners: {ports: [${port}-${loadPort}]}`,
	`bpf: {pin: ${pin}}`,
	'transparent: on',
	'clients: {capacity: 4000, max_exported: 500, idle: 200 ms}',
].join('\n');

/**
 * Connects while no daemon is running, and expects the application to see the client nevertheless.
 */
async function expectAnswered(stage: Stage): Promise<void> {
	await using held = await stage.connect('AF_INET6 dual-stack', 'nat64');
	const client = { address: clientAddress, port: held.client.port };
	expect([held.accepted, await held.probe.getpeername()]).toMatchObject([client, client]);
	const { result, bytes } = await held.probe.getsockopt(0, 4096, 20);
	expect({ result, port: bytes.readUInt16BE(16) }).toEqual({ result: 0, port: client.port });
}

const pinnedLinks = () => readdirSync(Pins.linksIn(pin)).sort();

/** Starts a daemon that gets SIGKILL after this time, ready or not. Resolves with its pid. */
async function killedAfter(ms: number, configFile: string): Promise<number> {
	const child = spawn(process.execPath, [main, 'run', '--config', configFile], {
		stdio: 'ignore',
		timeout: Math.ceil(ms),
		killSignal: 'SIGKILL',
	});
	expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
	return child.pid ?? 0;
}

/** Waits until the daemon's own links are the only ones of these that exist. */
async function expectLinks(daemon: Daemon, of: ReadonlySet<number>): Promise<void> {
	const { links } = kernelObjectsOf(daemon.child.pid ?? 0);
	const own = [...links].sort();
	const existing = () =>
		[...remaining({ programs: [], maps: [], links: [...of], processes: [], namespaces: [] }).links].sort();
	await expect.poll(existing, { timeout: scaleTimeout(10_000) }).toEqual(own);
}

test(`a daemon killed ${kills} times at full load loses nothing`, { timeout: scaleTimeout(600_000) }, async () => {
	await using stage = await Stage.open(port);
	let daemon = await Daemon.start({ config });
	await using _last = { [Symbol.asyncDispose]: async () => void (await daemon.stop()) };
	await using load = await SteadyLoad.start({ port: loadPort, clients: 20_000 });
	const configFile = join(load.sandbox.scratch, 'toascope.yaml');
	writeFileSync(configFile, `${config}\nhttp: {listen: "127.0.0.1:0", socket: off}\n`);
	const first = kernelObjectsOf(daemon.child.pid ?? 0);
	const [pinned, links] = [pinnedLinks(), new Set(first.links)];
	const series = new MonotonicWatch();
	let answered = 0;
	/** Series of clients that both a daemon and its successor showed. */
	let outlived = 0;

	// on a slow machine, all of them can have been folded before the first collection after a start,
	// so this does not go on forever
	for (let killed = 0; killed < kills || (outlived === 0 && killed < 2 * kills); ) {
		const before = series.comparedClients;
		await series.check(daemon);
		if (killed > 0) outlived += series.comparedClients - before;
		await load.more(1000);
		await series.check(daemon);
		expect(await daemon.stop('SIGKILL')).toBe('SIGKILL');
		await expectAnswered(stage);
		killed++;
		answered++;
		const began = performance.now();
		daemon = await Daemon.start({ config });
		const startMs = performance.now() - began;
		expect((await daemon.logged(/^attached/)).adopted).toBe(true);
		for (const link of kernelObjectsOf(daemon.child.pid ?? 0).links) links.add(link);
		expect(kernelObjectsOf(daemon.child.pid ?? 0).links).toHaveLength(first.links.length);
		expect(pinnedLinks()).toEqual(pinned);
		await expectLinks(daemon, links);
		if (killed % 3 !== 0) continue;
		// kill another daemon while it starts, each time at a different moment after the start of
		// Node itself
		await daemon.stop('SIGKILL');
		await killedAfter(startMs * (0.4 + (0.6 * killed) / kills), configFile);
		await expectAnswered(stage);
		killed += 2;
		answered++;
		daemon = await Daemon.start({ config });
	}

	// make sure, however fast the machine is, that series of clients continued, were folded, and
	// found the table full
	for (let rounds = 0; rounds < roundsMax; rounds++) {
		const { now, continued } = { now: await daemon.metrics(), continued: series.comparedClients };
		const full = total(now, 'toascope_drops_total', { reason: 'clients_full' });
		if (continued > 1000 && full > 1000n && total(now, 'toascope_clients_folded_total') > 1000n) break;
		await series.check(daemon);
		await load.more(1000);
	}
	const totals = await load.stop();
	const samples = await metricsAtRest(daemon, load.listener, Number(totals.closed));
	expect(listenerTotals(samples, load.listener)).toEqual(totals);
	expectIdentity(samples, load.listener);
	await series.check(daemon);
	for (const reason of ['socket_storage', 'connections_full', 'close_unheard']) {
		expect([reason, total(samples, 'toascope_drops_total', { reason })]).toEqual([reason, 0n]);
	}
	const accepts = total(samples, 'toascope_accepts_total', { listener: load.listener });
	expect(accepts).toBe(totals.opened);
	const probed = listenerTotals(samples, `${network.server}:${port + 1}`);
	expect([probed.opened, probed.closed]).toEqual([BigInt(answered), BigInt(answered)]);

	const last = kernelObjectsOf(daemon.child.pid ?? 0);
	expect(await daemon.stop()).toBe(0);
	await allGone(last);
	await allGone({ ...first, links: [...links] });
	expect(existsSync(pin)).toBe(false);
});
