// SPDX-License-Identifier: Apache-2.0
/** An upgrade to a version with another layout of its records, and back: counters go along, field by field, and nothing else stays. */
import { once } from 'node:events';
import { existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { limit } from '../../daemon/capture/layout.gen.ts';
import { network } from '../../daemon/lab/lab.ts';
import { headerSize } from '../../daemon/lab/protocol.ts';
import { clientAccounts, expectIdentity, listenerAccount, settled } from '../fixtures/accounts.ts';
import { Daemon, main } from '../fixtures/daemon.ts';
import { Grown } from '../fixtures/grown.ts';
import { allGone, belongings } from '../fixtures/leftovers.ts';
import { type Sample, total } from '../fixtures/metrics.ts';
import { buildOtherLayout, otherLayout } from '../fixtures/other_layout.ts';
import { patient } from '../fixtures/patience.ts';
import { Stage, somePorts } from '../fixtures/stage.ts';
import { SteadyLoad } from '../fixtures/steady_load.ts';

const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const port = somePorts(3);
const loadPort = port + 2;
const config = [
	`listeners: {ports: [${port}-${loadPort}]}`,
	`bpf: {pin: ${pin}}`,
	'clients: {capacity: 300, max_exported: 50, idle: 1 h}',
].join('\n');
const layout = `v${limit.TOASCOPE_LAYOUT}`;

let program: string;
beforeAll(() => {
	program = buildOtherLayout();
}, patient(180_000));

let daemon: Daemon;
let load: SteadyLoad;
/** A version that is there already, with traffic of so many clients. */
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

/** Kills the daemon, and starts that of the program; resolves with its line on what was there. */
async function next(by: string) {
	const had = belongings(daemon.child.pid ?? 0);
	await daemon.stop('SIGKILL');
	daemon = await Daemon.start({ config, program: by });
	expect(readdirSync(pin)).toEqual([by === program ? otherLayout : layout]);
	await allGone(had);
	const lines = daemon.log.filter(({ msg }) => /layout|zero/.test(msg));
	expect(lines).toHaveLength(1);
	return lines[0];
}

test('at rest, with connections open: every series is the same, but that they are closed', async () => {
	await begin(200);
	const account = await load.stop();
	await using stage = await Stage.open(port);
	await using held = await stage.connect('AF_INET', 'nat64');
	// one more that has no verdict: nothing was sent
	const server = createServer().listen(loadPort, '127.0.0.2').unref();
	await using _server = { [Symbol.asyncDispose]: async () => void server.close() };
	await once(server, 'listening');
	const silent = connect(loadPort, '127.0.0.2').unref();
	await Promise.all([once(server, 'connection'), once(silent, 'connect')]);
	const pending = `127.0.0.2:${loadPort}`;
	expectIdentity(await settled(daemon, load.listener, Number(account.closed)), load.listener);
	const probed = `${network.server}:${port}`;
	// clients are read before listeners: what one of them shows, its listener does
	const flushed = (samples: Sample[]) =>
		[...clientAccounts(samples, probed).values()].some(({ received }) => received === BigInt(headerSize));
	await daemon.until((samples) => flushed(samples) || undefined);
	const series = new Grown();
	const before = await series.look(daemon);

	expect(await next(main)).toMatchObject({
		level: 40,
		layout: otherLayout,
		open: 2,
		lost: expect.arrayContaining(['clients.traffic.of_this_alone', 'listeners.total.of_this_alone']),
	});
	const after = await series.look(daemon);
	expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
	const changed = [...after]
		.filter(([name, value]) => before.get(name) !== value && !name.includes(pending))
		.map(([name]) => name);
	// the RTT of an open connection is sampled every ten seconds or so, also by the last sweep of the other layout
	const isSampled = (name: string) => name.includes('rtt') && name.includes(probed);
	const closed = /closed|duration.*count|close_unheard/;
	expect(changed.filter((name) => !closed.test(name) && !isSampled(name))).toEqual([]);
	expect(changed.length).toBeGreaterThanOrEqual(3);
	for (const listener of [load.listener, probed, pending]) expectIdentity(await daemon.metrics(), listener);
	const ofHeld = listenerAccount(await daemon.metrics(), probed);
	expect([ofHeld.opened, ofHeld.closed]).toEqual([1n, 1n]);
	const none = { listener: pending, result: 'none' };
	expect(total(await daemon.metrics(), 'toascope_handshakes_total', none)).toBe(1n);
	// nobody counts them a second time
	silent.destroy();
	await held[Symbol.asyncDispose]();
	{
		await using _other = await stage.connect('AF_INET', 'nat64');
	}
	expect(listenerAccount(await settled(daemon, probed, 2), probed)).toMatchObject({ opened: 2n, closed: 2n });
	expectIdentity(await daemon.metrics(), probed);
	// the client's entry is its own, as if it had been made here
	expect(total(await daemon.metrics(), 'toascope_drops_total', { reason: 'client_folding' })).toBe(0n);

	// and back
	const ours = await series.look(daemon);
	const line = await next(program);
	expect(line).toMatchObject({ level: 30, layout, open: 0 });
	expect(line).not.toHaveProperty('lost');
	expect(await series.look(daemon)).toEqual(ours);
});

test('under load: no series falls, and the sums agree', async () => {
	// more than fit
	await begin(400);
	const series = new Grown();
	for (const by of [main, program]) {
		await series.look(daemon);
		await load.more(100);
		await next(by);
		await series.look(daemon);
		await load.more(100);
	}
	const account = await load.stop();
	// those that were open when the layouts changed, and came in between, are closed unheard, or were never seen
	const rest = await daemon.until((found) => {
		const { opened, closed } = listenerAccount(found, load.listener);
		return opened === closed ? closed : undefined;
	});
	const samples = await settled(daemon, load.listener, Number(rest));
	expectIdentity(samples, load.listener);
	await series.look(daemon);
	// never more than there were
	const { opened } = listenerAccount(samples, load.listener);
	expect(opened).toBeLessThanOrEqual(account.opened);
});

test('killed in the middle of it: the next one does it, once', async () => {
	await begin(400);
	const account = await load.stop();
	await settled(daemon, load.listener, Number(account.closed));
	const series = new Grown();
	const before = await series.look(daemon);
	await daemon.stop('SIGKILL');
	// the maps twice: the directory is left as a start leaves it that is killed when all is written, but nothing counts yet
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
	expect(await series.look(daemon)).toEqual(before);

	// killed when it counts already, and before it has thrown the other layout away
	await daemon.stop('SIGKILL');
	mkdirSync(join(pin, otherLayout));
	daemon = await Daemon.start({ config });
	expect((await daemon.logged(/^attached/)).adopted).toBe(true);
	expect(daemon.log.filter(({ msg }) => /layout|zero/.test(msg))).toEqual([]);
	expect(readdirSync(pin)).toEqual([layout]);
	expect(await series.look(daemon)).toEqual(before);
});

test('what cannot be carried over: one line says so, and nothing of it stays', async () => {
	await begin(400);
	await load.stop();
	rmSync(join(pin, otherLayout, 'maps/clients'));
	expect(await next(main)).toMatchObject({ level: 40, layout: otherLayout, why: 'clients: missing' });
	expect(total(await daemon.metrics(), 'toascope_connections_opened_total')).toBe(0n);
});
