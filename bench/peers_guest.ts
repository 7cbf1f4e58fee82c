// SPDX-License-Identifier: Apache-2.0
/**
 * peers_guest.ts FOLDER RUNS SECONDS: runs in a guest, as root. Measures the same load without any
 * tool, with toascope, and with each of the tools of peer_tools.ts, each between two stretches
 * without a tool. Writes one line, `peers: JSON`.
 */
import { setTimeout } from 'node:timers/promises';
import { daemonCgroup, startDaemon, untilClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import { ToolProcess, toolCgroup } from './peer_process.ts';
import { type ComparedTool, comparedTools, countReported } from './peer_tools.ts';
import { Sandbox } from './sandbox.ts';

/** The measurements of one run of one arm. */
export interface ToolRun {
	readonly rate: number;
	/** CPU time per connection, of both ends and the tool. */
	readonly cpuMicros: number;
	/** CPU time of the tool's processes only, as a share of one processor. */
	readonly toolShare: number;
}

export interface Stretch {
	readonly name: string;
	readonly what: string;
	readonly runs: readonly ToolRun[];
	/** What the tool reported per connection: countReported() in peer_tools.ts. */
	readonly lines?: number;
}

const clients = 1000;
const cgroup = 'with';

const [folder = '', runsText = '', secondsText = ''] = process.argv.slice(2);
const runs = Number(runsText);
const seconds = Number(secondsText);

async function measure(
	sandbox: Sandbox,
	generator: Generator,
	toolCgroup: string,
): Promise<{ runs: ToolRun[]; all: number }> {
	const measured: ToolRun[] = [];
	let all = 0;
	// the first run is a warm-up
	for (let index = 0; index <= runs; index++) {
		const before = sandbox.cpuSeconds(toolCgroup);
		const run = await generator.run({ server: cgroup, client: cgroup }, { seconds });
		const tool = sandbox.cpuSeconds(toolCgroup) - before;
		all += run.connections;
		const cpuMicros = ((run.cpuSeconds + tool) / run.connections) * 1e6;
		if (index > 0) measured.push({ rate: run.rate, cpuMicros, toolShare: tool / run.seconds });
	}
	return { runs: measured, all };
}

async function withTool(sandbox: Sandbox, generator: Generator, tool: ComparedTool): Promise<Stretch> {
	await using peer = await ToolProcess.start(sandbox, tool, folder);
	// the tool can still be attaching further programs
	await setTimeout(3000);
	const { runs: measured, all } = await measure(sandbox, generator, toolCgroup);
	return { name: tool.name, what: tool.what, runs: measured, lines: countReported(tool, await peer.end()) / all };
}

async function bare(sandbox: Sandbox, generator: Generator): Promise<Stretch> {
	const { runs: measured } = await measure(sandbox, generator, toolCgroup);
	return { name: 'bare', what: 'no tool', runs: measured };
}

async function withToascope(sandbox: Sandbox, generator: Generator): Promise<Stretch> {
	await using daemon = await startDaemon(sandbox, cgroup);
	const { runs: measured, all } = await measure(sandbox, generator, daemonCgroup);
	await untilClosed(sandbox, daemon, all);
	return { name: 'toascope', what: 'toascope', runs: measured };
}

await using sandbox = await Sandbox.open(new AbortController().signal);
sandbox.cgroup(daemonCgroup);
sandbox.cgroup(toolCgroup);
await using generator = await Generator.start(sandbox, clients);
const stretches = [await bare(sandbox, generator), await withToascope(sandbox, generator)];
for (const tool of comparedTools(folder)) {
	stretches.push(await bare(sandbox, generator), await withTool(sandbox, generator, tool));
}
stretches.push(await bare(sandbox, generator));
console.log(`peers: ${JSON.stringify(stretches)}`);
