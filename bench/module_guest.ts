// SPDX-License-Identifier: Apache-2.0
/**
 * module_guest.ts TOA_KO ROUNDS SECONDS: runs in a guest, as root. Measures the same two loads with
 * `provider: bpf`, with `provider: module`, and twice with neither. The order of the arms is
 * reversed from round to round. Writes one line, `module: JSON`.
 */
import { execFileSync } from 'node:child_process';
import { ToascopeError } from '../daemon/errors.ts';
import { total } from '../test/kit/telemetry/metrics.ts';
import { daemonCgroup, startDaemon, untilClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import type { ModuleArm, ModuleSample } from './module.ts';
import { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';
import { Streams } from './streams.ts';

const clients = 1000;
const cgroup = 'with';
/** Runs of each load in a round of an arm, after one to warm up. */
const runs = 3;
const streams = 2;
/** Payload of a segment of data. */
const segmentBytes = 512;
const arms: readonly ModuleArm[] = ['none', 'bpf', 'module', 'control'];

const [moduleFile = '', roundsText = '', secondsText = ''] = process.argv.slice(2);
const [rounds, seconds] = [Number(roundsText), Number(secondsText)];

await using sandbox = await Sandbox.open(new AbortController().signal);
sandbox.cgroup(daemonCgroup);
await using generator = await Generator.start(sandbox, clients);
await using load = await Streams.start(sandbox);

/** Resolves with the measurements and the number of connections. */
async function measure(): Promise<{ result: ModuleSample; connections: number }> {
	const [connectionMicros, rates, segmentMicros]: [number[], number[], number[]] = [[], [], []];
	let [connections, segments, calls] = [0, 0, 0];
	const [daemonBefore, began] = [sandbox.cpuSeconds(daemonCgroup), performance.now()];
	for (let index = 0; index <= runs; index++) {
		const run = await generator.run({ server: cgroup, client: cgroup }, { seconds });
		connections += run.connections;
		connectionMicros.push((run.cpuSeconds / run.connections) * 1e6);
		rates.push(run.rate);
	}
	for (let index = 0; index <= runs; index++) {
		const before = load.arrived();
		const { client, server } = await load.run(cgroup, seconds, streams, segmentBytes);
		const arrived = load.arrived() - before;
		connections += client.connections;
		segments += arrived;
		calls += client.sent_bytes / segmentBytes;
		segmentMicros.push(((client.cpu_seconds + server.cpu_seconds) / arrived) * 1e6);
	}
	const daemonSeconds = sandbox.cpuSeconds(daemonCgroup) - daemonBefore;
	return {
		result: {
			connectionMicros: median(connectionMicros.slice(1)),
			rate: median(rates.slice(1)),
			segmentMicros: median(segmentMicros.slice(1)),
			segmentsForACall: segments / calls,
			daemonShare: daemonSeconds / ((performance.now() - began) / 1000),
		},
		connections,
	};
}

/** @throws {ToascopeError} LAB_FAILED unless the daemon has read the option of each connection */
async function withProvider(provider: 'bpf' | 'module'): Promise<ModuleSample> {
	await using daemon = await startDaemon(sandbox, cgroup, `provider: ${provider}`);
	const { result, connections } = await measure();
	const samples = await untilClosed(sandbox, daemon, connections);
	const read = total(samples, 'toascope_handshakes_total', { result: 'toa' });
	if (read !== BigInt(connections)) {
		throw new ToascopeError('LAB_FAILED', `${provider} read the options of ${read} of ${connections} connections`);
	}
	return result;
}

async function once(arm: ModuleArm): Promise<ModuleSample> {
	if (arm === 'bpf') return withProvider('bpf');
	if (arm !== 'module') return (await measure()).result;
	execFileSync('insmod', [moduleFile]);
	try {
		return await withProvider('module');
	} finally {
		execFileSync('rmmod', ['toa']);
	}
}

const results: Record<ModuleArm, ModuleSample[]> = { none: [], bpf: [], module: [], control: [] };
for (let round = 0; round < rounds; round++) {
	for (const arm of round % 2 === 0 ? arms : arms.toReversed()) results[arm].push(await once(arm));
}
console.log(`module: ${JSON.stringify(results)}`);
