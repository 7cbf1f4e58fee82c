// SPDX-License-Identifier: Apache-2.0
/**
 * A daemon over minutes or days: connections with clients that come and go, and everything that happens to a daemon on a server.
 * At the end its counts are those of both ends of the connections, it has grown no more, has said every fault, and left nothing.
 */
import { existsSync } from 'node:fs';
import { expectIdentity, listenerAccount, settled } from '../fixtures/accounts.ts';
import type { LogLine } from '../fixtures/daemon.ts';
import { allGone, belongings, mounts } from '../fixtures/leftovers.ts';
import { total } from '../fixtures/metrics.ts';
import { patient } from '../fixtures/patience.ts';
import { type Pick, random } from '../fixtures/random.ts';
import { SteadyLoad } from '../fixtures/steady_load.ts';
import { type Check, Checks, same } from './checks.ts';
import { type Fault, faults } from './faults.ts';
import { Flatness } from './flatness.ts';
import { Service } from './service.ts';
import { SoakStage } from './stage.ts';

export interface SoakOptions {
	readonly minutes: number;
	/** The order of what happens. */
	readonly seed: number;
	readonly say: (text: string) => void;
	readonly signal: AbortSignal;
}

/** One step takes no longer. */
const stepMs = patient(90_000);
/** Between two of them, so that the load is not alone with them: two processors are enough. */
const pauseMs = 1000;
const lastConnections = 200;
const level = { error: 50 };

export async function soak({ minutes, seed, say, signal }: SoakOptions): Promise<readonly Check[]> {
	const checks = new Checks(say);
	const mountsBefore = bpffs();
	const pick = random(seed);
	const durationMs = minutes * 60_000;
	let had: SoakStage['had'] = [];
	let pin = '';
	{
		await using stage = await SoakStage.open(signal);
		await using service = await Service.start(stage.ground, stage.ports.service);
		({ had, pin } = stage);
		had.push(belongings(service.daemon.child.pid ?? 0));
		const ofService = new Flatness(service.daemon.child.pid ?? 0);
		const servicePid = service.daemon.child.pid;
		const begun = performance.now();

		// one life, so that it can be seen whether it grows; then many
		const first = stage.flatness;
		const live = faults.filter(({ deadly }) => deadly !== true);
		const sample = () => {
			stage.flatness.sample();
			if (service.daemon.child.pid === servicePid) ofService.sample();
		};
		await happen({ checks, stage, service, signal, sample, pick, faults: live, untilMs: begun + durationMs / 2 });
		first.judge('the daemon in one life', checks);
		await happen({ checks, stage, service, signal, sample, pick, faults, untilMs: begun + durationMs });
		if (service.daemon.child.pid === servicePid) ofService.judge('the daemon of the service', checks);

		await checks.run('the service: counts are those of both ends', stepMs, async () => {
			await service.exact();
			return undefined;
		});
		await checks.run('counts are those of both ends, to the byte', stepMs, () => countsExact(stage));
		await checks.run('spans: one for each connection', stepMs, () => spansExact(stage));
		const errors = unexpected([...stage.daemon.log, ...service.daemon.log]);
		checks.add('no other error was said', errors.length === 0, errors.map(({ msg }) => msg).join('; '));
		await checks.run('the last stop detaches', stepMs, async () => {
			same('exit', await stage.daemon.stop(), 0);
			await stage.startAgain('detach');
			same('exit', await stage.daemon.stop(), 0);
			return undefined;
		});
		had = stage.had;
	}
	await checks.run('nothing is left behind', stepMs, async () => {
		for (const one of had) await allGone(one);
		if (existsSync(pin)) throw new Error(`${pin} is still there`);
		same('mounts', bpffs(), mountsBefore);
		return undefined;
	});
	return checks.all;
}

interface Happening {
	readonly checks: Checks;
	readonly stage: SoakStage;
	readonly service: Service;
	readonly signal: AbortSignal;
	readonly sample: () => void;
	readonly pick: Pick;
	readonly faults: readonly Fault[];
	readonly untilMs: number;
}

/** Each once, in any order, and again, until the time is over; each at least once. */
async function happen({
	checks,
	stage,
	service,
	signal,
	sample,
	pick,
	faults: some,
	untilMs,
}: Happening): Promise<void> {
	for (let round = 0; round === 0 || performance.now() < untilMs; round++) {
		const left = [...some];
		while (left.length > 0 && (round === 0 || performance.now() < untilMs)) {
			signal.throwIfAborted();
			const [fault] = left.splice(pick(left.length), 1) as [Fault];
			const { daemon } = stage;
			await checks.run(fault.name, stepMs, () => fault.run(stage, service));
			if (stage.daemon === daemon && (daemon.child.exitCode ?? daemon.child.signalCode) !== null) {
				throw new Error(`the daemon has ended: ${daemon.log.at(-1)?.msg}`);
			}
			await stage.load.more(1);
			sample();
			await new Promise((resolve) => setTimeout(resolve, pauseMs));
			sample();
		}
	}
}

async function countsExact({ daemon, load, grown }: SoakStage): Promise<string> {
	const account = await load.stop();
	const samples = await settled(daemon, load.listener, Number(account.closed));
	same('the listener', listenerAccount(samples, load.listener), account);
	expectIdentity(samples, load.listener);
	for (const reason of ['socket_storage', 'connections_full', 'close_unheard']) {
		same(reason, total(samples, 'toascope_drops_total', { reason }), 0n);
	}
	await grown.look(daemon);
	const folded = total(samples, 'toascope_clients_folded_total');
	// else all of them were direct, and nothing above meant much
	if (folded === 0n) throw new Error('no client was folded: no option was read');
	return `${account.opened} connections, ${account.received} bytes in and ${account.sent} out; ${folded} clients folded; ${grown.met} counters looked at`;
}

/** Of a load of its own, after all that happened. */
async function spansExact(stage: SoakStage): Promise<string> {
	const { collector, ground, ports, daemon } = stage;
	const load = await SteadyLoad.start({ ground, port: ports.last, clients: 50, perSecond: 100, nice: true });
	// it ends with the stage, also where this takes too long
	stage.lastLoad = load;
	await load.more(lastConnections);
	const { opened } = await load.stop();
	await settled(daemon, load.listener, Number(opened));
	await collector.until(Number(opened));
	same('spans', collector.clients.length, Number(opened));
	return `${opened} of ${opened}; ${[...collector.received.values()].reduce((sum, one) => sum + one, 0)} in all`;
}

/** What a daemon could mount; others mount elsewhere. */
const bpffs = () => mounts().filter((line) => line.includes(' /sys/fs/bpf '));

/** Those that the faults above bring about are none. */
function unexpected(log: readonly LogLine[]): readonly LogLine[] {
	return log.filter(
		(line) => line.level >= level.error && !/reload failed|programs were detached|Unix socket is gone/.test(line.msg),
	);
}
