// SPDX-License-Identifier: Apache-2.0
/**
 * Runs a daemon for minutes or days, with connections of clients that come and go, and with
 * everything that happens to a daemon on a server. At the end, its counts must be those of both
 * ends of the connections, it must not have grown, it must have logged every fault, and it must
 * have left nothing behind.
 */
import { existsSync } from 'node:fs';
import type { LogLine } from '../kit/daemon/daemon.ts';
import { expectIdentity, listenerTotals, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { allGone, kernelObjectsOf, mounts } from '../kit/kernel/bpf_objects.ts';
import { type Pick, random } from '../kit/random.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { SteadyLoad } from '../kit/wire/steady_load.ts';
import { type Check, Checks, expectEqual } from './checks.ts';
import { type Fault, faults } from './faults.ts';
import { Flatness } from './flatness.ts';
import { Service } from './service.ts';
import { SoakEnvironment } from './stage.ts';

export interface SoakOptions {
	readonly minutes: number;
	/** Determines the order of the faults. */
	readonly seed: number;
	readonly say: (text: string) => void;
	readonly signal: AbortSignal;
}

/** Time limit of a step. */
const stepMs = scaleTimeout(90_000);
/** Pause between two steps, which leaves processor time to the load: two processors are enough. */
const pauseMs = 1000;
const lastConnections = 200;
const level = { error: 50 };

export async function soak({ minutes, seed, say, signal }: SoakOptions): Promise<readonly Check[]> {
	const checks = new Checks(say);
	const mountsBefore = bpffs();
	const pick = random(seed);
	const durationMs = minutes * 60_000;
	let had: SoakEnvironment['bpfObjects'] = [];
	let pin = '';
	{
		await using stage = await SoakEnvironment.open(signal);
		await using service = await Service.start(stage.sandbox, stage.ports.service);
		({ bpfObjects: had, pin } = stage);
		had.push(kernelObjectsOf(service.daemon.child.pid ?? 0));
		const ofService = new Flatness(service.daemon.child.pid ?? 0);
		const servicePid = service.daemon.child.pid;
		const began = performance.now();

		// first one process, so that its growth can be checked; then restarts
		const first = stage.flatness;
		const live = faults.filter(({ endsDaemon: deadly }) => deadly !== true);
		const sample = () => {
			stage.flatness.sample();
			if (service.daemon.child.pid === servicePid) ofService.sample();
		};
		await inject({ checks, stage, service, signal, sample, pick, faults: live, untilMs: began + durationMs / 2 });
		first.check('the daemon before its first restart', checks);
		await inject({ checks, stage, service, signal, sample, pick, faults, untilMs: began + durationMs });
		if (service.daemon.child.pid === servicePid) ofService.check('the daemon of the service', checks);

		await checks.run('the service: counts match those of both ends', stepMs, async () => {
			await service.checkCounts();
			return undefined;
		});
		await checks.run('counts match those of both ends, to the byte', stepMs, () => countsExact(stage));
		await checks.run('spans: one for each connection', stepMs, () => spansExact(stage));
		const errors = unexpected([...stage.daemon.log, ...service.daemon.log]);
		checks.add('no other error was logged', errors.length === 0, errors.map(({ msg }) => msg).join('; '));
		await checks.run('the last stop detaches', stepMs, async () => {
			expectEqual('exit', await stage.daemon.stop(), 0);
			await stage.restart('detach');
			expectEqual('exit', await stage.daemon.stop(), 0);
			return undefined;
		});
		had = stage.bpfObjects;
	}
	await checks.run('nothing is left behind', stepMs, async () => {
		for (const one of had) await allGone(one);
		if (existsSync(pin)) throw new Error(`${pin} is still there`);
		expectEqual('mounts', bpffs(), mountsBefore);
		return undefined;
	});
	return checks.all;
}

interface FaultRun {
	readonly checks: Checks;
	readonly stage: SoakEnvironment;
	readonly service: Service;
	readonly signal: AbortSignal;
	readonly sample: () => void;
	readonly pick: Pick;
	readonly faults: readonly Fault[];
	readonly untilMs: number;
}

/**
 * Runs each fault once in random order, and repeats this until the time is over. Each fault runs at
 * least once.
 */
async function inject({
	checks,
	stage,
	service,
	signal,
	sample,
	pick,
	faults: some,
	untilMs,
}: FaultRun): Promise<void> {
	for (let round = 0; round === 0 || performance.now() < untilMs; round++) {
		const remaining = [...some];
		while (remaining.length > 0 && (round === 0 || performance.now() < untilMs)) {
			signal.throwIfAborted();
			const [fault] = remaining.splice(pick(remaining.length), 1) as [Fault];
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

async function countsExact({ daemon, load, counterWatch: grown }: SoakEnvironment): Promise<string> {
	const account = await load.stop();
	const samples = await metricsAtRest(daemon, load.listener, Number(account.closed));
	expectEqual('the listener', listenerTotals(samples, load.listener), account);
	expectIdentity(samples, load.listener);
	for (const reason of ['socket_storage', 'connections_full', 'close_unheard']) {
		expectEqual(reason, total(samples, 'toascope_drops_total', { reason }), 0n);
	}
	await grown.check(daemon);
	const folded = total(samples, 'toascope_clients_folded_total');
	// without folded clients all connections were direct, and the checks above prove little
	if (folded === 0n) throw new Error('no client was folded: no option was read');
	return `${account.opened} connections, ${account.received} bytes in and ${account.sent} out; ${folded} clients folded; ${grown.compared} counters checked`;
}

/** Checks the spans of a separate load, after all faults. */
async function spansExact(stage: SoakEnvironment): Promise<string> {
	const { collector, sandbox, ports, daemon } = stage;
	const load = await SteadyLoad.start({ sandbox, port: ports.last, clients: 50, perSecond: 100, nice: true });
	// the stage ends it, even if this step times out
	stage.lastLoad = load;
	await load.more(lastConnections);
	const { opened } = await load.stop();
	await metricsAtRest(daemon, load.listener, Number(opened));
	await collector.until(Number(opened));
	expectEqual('spans', collector.clients.length, Number(opened));
	return `${opened} of ${opened}; ${[...collector.received.values()].reduce((sum, one) => sum + one, 0)} in all`;
}

/** The mounts that a daemon could have made; other software uses other places. */
const bpffs = () => mounts().filter((line) => line.includes(' /sys/fs/bpf '));

/** Errors that the faults do not cause. */
function unexpected(log: readonly LogLine[]): readonly LogLine[] {
	return log.filter(
		(line) => line.level >= level.error && !/reload failed|programs were detached|Unix socket is gone/.test(line.msg),
	);
}
