// SPDX-License-Identifier: Apache-2.0
/** SIGKILL at full load, again and again: not a connection or a byte is lost, no counter falls, nothing hangs twice. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Pins } from '../../daemon/capture/pins.ts';
import { network } from '../../daemon/lab/lab.ts';
import { expectIdentity, listenerAccount, settled } from '../fixtures/accounts.ts';
import { Daemon, main } from '../fixtures/daemon.ts';
import { Grown } from '../fixtures/grown.ts';
import { allGone, belongings, left } from '../fixtures/leftovers.ts';
import { total } from '../fixtures/metrics.ts';
import { patient } from '../fixtures/patience.ts';
import { clientAddress, Stage, somePorts } from '../fixtures/stage.ts';
import { SteadyLoad } from '../fixtures/steady_load.ts';

const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const port = somePorts(3);
const loadPort = port + 2;
const kills = 20;

/** Few places, and clients that come back a moment after they were idle: all the time some are folded, some find no room. */
const config = [
	`listeners: {ports: [${port}-${loadPort}]}`,
	`bpf: {pin: ${pin}}`,
	'transparent: on',
	'clients: {capacity: 4000, max_exported: 500, idle: 200 ms}',
].join('\n');

/** Who connects while no daemon is there is answered for all the same. */
async function expectAnswered(stage: Stage): Promise<void> {
	await using held = await stage.connect('AF_INET6 dual-stack', 'nat64');
	const client = { address: clientAddress, port: held.client.port };
	expect([held.accepted, await held.probe.getpeername()]).toMatchObject([client, client]);
	const { result, bytes } = await held.probe.getsockopt(0, 4096, 20);
	expect({ result, port: bytes.readUInt16BE(16) }).toEqual({ result: 0, port: client.port });
}

const pinnedLinks = () => readdirSync(Pins.linksIn(pin)).sort();

/** A daemon that gets SIGKILL after so long, ready or not. */
async function killedAfter(ms: number, configFile: string): Promise<number> {
	const child = spawn(process.execPath, [main, 'run', '--config', configFile], {
		stdio: 'ignore',
		timeout: Math.ceil(ms),
		killSignal: 'SIGKILL',
	});
	expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
	return child.pid ?? 0;
}

/** Once what the daemons before had is gone. */
async function expectLinks(daemon: Daemon, of: ReadonlySet<number>): Promise<void> {
	const { links } = belongings(daemon.child.pid ?? 0);
	const own = [...links].sort();
	const there = () => [...left({ programs: [], maps: [], links: [...of], processes: [], namespaces: [] }).links].sort();
	await expect.poll(there, { timeout: patient(10_000) }).toEqual(own);
}

test(`killed ${kills} times at full load`, { timeout: patient(180_000) }, async () => {
	await using stage = await Stage.open(port);
	let daemon = await Daemon.start({ config });
	await using _last = { [Symbol.asyncDispose]: async () => void (await daemon.stop()) };
	await using load = await SteadyLoad.start({ port: loadPort, clients: 20_000 });
	const configFile = join(load.ground.scratch, 'toascope.yaml');
	writeFileSync(configFile, `${config}\nhttp: {listen: "127.0.0.1:0", socket: off}\n`);
	const first = belongings(daemon.child.pid ?? 0);
	const [pinned, links] = [pinnedLinks(), new Set(first.links)];
	const series = new Grown();
	let answered = 0;
	/** Series of clients that a daemon showed, and the next one as well. */
	let outlived = 0;

	// a machine that is slow may have folded all of them before its first look after a start
	for (let killed = 0; killed < kills || outlived === 0; ) {
		const before = series.metClients;
		await series.look(daemon);
		if (killed > 0) outlived += series.metClients - before;
		await load.more(1000);
		await series.look(daemon);
		expect(await daemon.stop('SIGKILL')).toBe('SIGKILL');
		await expectAnswered(stage);
		killed++;
		answered++;
		const begun = performance.now();
		daemon = await Daemon.start({ config });
		const startMs = performance.now() - begun;
		expect((await daemon.logged(/^attached/)).adopted).toBe(true);
		for (const link of belongings(daemon.child.pid ?? 0).links) links.add(link);
		expect(belongings(daemon.child.pid ?? 0).links).toHaveLength(first.links.length);
		expect(pinnedLinks()).toEqual(pinned);
		await expectLinks(daemon, links);
		if (killed % 3 !== 0) continue;
		// one more, while it starts: each time at another moment after Node itself has
		await daemon.stop('SIGKILL');
		await killedAfter(startMs * (0.4 + (0.6 * killed) / kills), configFile);
		await expectAnswered(stage);
		killed += 2;
		answered++;
		daemon = await Daemon.start({ config });
	}

	// nothing in this is so by chance: series of clients went on, were folded, and found no room, however fast the machine is
	for (;;) {
		const { now, met } = { now: await daemon.metrics(), met: series.metClients };
		const full = total(now, 'toascope_drops_total', { reason: 'clients_full' });
		if (met > 1000 && full > 1000n && total(now, 'toascope_clients_folded_total') > 1000n) break;
		await series.look(daemon);
		await load.more(1000);
	}
	const account = await load.stop();
	const samples = await settled(daemon, load.listener, Number(account.closed));
	expect(listenerAccount(samples, load.listener)).toEqual(account);
	expectIdentity(samples, load.listener);
	await series.look(daemon);
	for (const reason of ['socket_storage', 'connections_full', 'close_unheard']) {
		expect([reason, total(samples, 'toascope_drops_total', { reason })]).toEqual([reason, 0n]);
	}
	const accepts = total(samples, 'toascope_accepts_total', { listener: load.listener });
	expect(accepts).toBe(account.opened);
	const probed = listenerAccount(samples, `${network.server}:${port + 1}`);
	expect([probed.opened, probed.closed]).toEqual([BigInt(answered), BigInt(answered)]);

	const last = belongings(daemon.child.pid ?? 0);
	expect(await daemon.stop()).toBe(0);
	await allGone(last);
	await allGone({ ...first, links: [...links] });
	expect(existsSync(pin)).toBe(false);
});
