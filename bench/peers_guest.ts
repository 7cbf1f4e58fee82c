// SPDX-License-Identifier: Apache-2.0
/**
 * Runs in a guest, as root: peers_guest.ts FOLDER RUNS SECONDS. The same load without any tool, with toascope, and with
 * each of the tools of peer_tools.ts, each between two stretches without. Writes one line, `peers: JSON`.
 */
import { setTimeout } from 'node:timers/promises';
import { daemonPlace, startDaemon, whenClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import { Ground } from './ground.ts';
import { PeerProcess, peerPlace } from './peer_process.ts';
import { type PeerTool, peerTools, told } from './peer_tools.ts';

/** What one run of one arm was. */
export interface PeerRun {
	readonly rate: number;
	/** Of both ends for a connection, and of the tool. */
	readonly cpuMicros: number;
	/** Of the tool's processes alone, as a share of one processor. */
	readonly toolShare: number;
}

export interface Stretch {
	readonly name: string;
	readonly what: string;
	readonly runs: readonly PeerRun[];
	/** What the tool told for each connection: peer_tools.ts. */
	readonly lines?: number;
}

const clients = 1000;
const place = 'with';

const [folder = '', runsText = '', secondsText = ''] = process.argv.slice(2);
const runs = Number(runsText);
const seconds = Number(secondsText);

async function measure(
	ground: Ground,
	generator: Generator,
	toolPlace: string,
): Promise<{ runs: PeerRun[]; all: number }> {
	const made: PeerRun[] = [];
	let all = 0;
	// the first one warms up
	for (let index = 0; index <= runs; index++) {
		const before = ground.cpuSeconds(toolPlace);
		const run = await generator.run({ server: place, client: place }, { seconds });
		const tool = ground.cpuSeconds(toolPlace) - before;
		all += run.connections;
		const cpuMicros = ((run.cpuSeconds + tool) / run.connections) * 1e6;
		if (index > 0) made.push({ rate: run.rate, cpuMicros, toolShare: tool / run.seconds });
	}
	return { runs: made, all };
}

async function withTool(ground: Ground, generator: Generator, tool: PeerTool): Promise<Stretch> {
	await using peer = await PeerProcess.start(ground, tool, folder);
	// it may go on from one program to the next
	await setTimeout(3000);
	const { runs: made, all } = await measure(ground, generator, peerPlace);
	return { name: tool.name, what: tool.what, runs: made, lines: told(tool, await peer.end()) / all };
}

async function bare(ground: Ground, generator: Generator): Promise<Stretch> {
	const { runs: made } = await measure(ground, generator, peerPlace);
	return { name: 'bare', what: 'no tool', runs: made };
}

async function withToascope(ground: Ground, generator: Generator): Promise<Stretch> {
	await using daemon = await startDaemon(ground, place);
	const { runs: made, all } = await measure(ground, generator, daemonPlace);
	await whenClosed(ground, daemon, all);
	return { name: 'toascope', what: 'toascope', runs: made };
}

await using ground = await Ground.open(new AbortController().signal);
ground.cgroup(daemonPlace);
ground.cgroup(peerPlace);
await using generator = await Generator.start(ground, clients);
const stretches = [await bare(ground, generator), await withToascope(ground, generator)];
for (const tool of peerTools(folder)) {
	stretches.push(await bare(ground, generator), await withTool(ground, generator, tool));
}
stretches.push(await bare(ground, generator));
console.log(`peers: ${JSON.stringify(stretches)}`);
