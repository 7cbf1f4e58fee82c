// SPDX-License-Identifier: Apache-2.0
/**
 * Compares the cost of toascope with that of the other tools that this kernel can run, on this
 * machine's own processors.
 */
import { daemonCgroup, startDaemon, untilClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import { compare, formatEstimate, isInconclusive, spreadNote } from './pairs.ts';
import { ToolProcess, toolCgroup } from './peer_process.ts';
import { type ComparedTool, comparedTools, countReported, fetchTools } from './peer_tools.ts';
import type { Part, Plan, Row } from './result.ts';
import { type Control, runRounds } from './rounds.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';

/** Limit of toascope's cost, as a share of tcplife's. */
export const atMost = 0.05;
export const rowTitle = 'CPU time added per connection, toascope / tcplife (libbpf-tools)';
export const aim = `at most ${atMost}`;

const clients = 1000;
const seconds = 0.4;
const runsEach = 5;
/** A tool takes seconds to start and to end. */
const bounds = { least: 12, most: 36, step: 4, quick: 2 };
/** These need only tracepoints of the kernel, but no kprobes and no headers. */
const tracepointTools: readonly string[] = ['tcplife', 'tcpstates'];

/** One arm in one round: the medians of its runs. */
interface ArmResult {
	readonly rate: number;
	/** CPU time per connection, of both ends and the tool. */
	readonly cpuMicros: number;
	/** CPU time of the tool's processes only, as a share of one processor. */
	readonly toolShare: number;
	/** What the tool reported per connection: countReported() in peer_tools.ts. */
	readonly reported?: number;
}

const cpuRatio = (run: ArmResult, without: ArmResult) => run.cpuMicros / without.cpuMicros;
const control: Control<string, ArmResult> = { arm: 'control', against: 'bare', how: cpuRatio };

export function skippedPart(name: string, reason: string): Part {
	return {
		figures: { left_out: reason },
		rows: [{ name, what: rowTitle, value: 'left out', aim, verdict: 'none', note: reason }],
	};
}

export async function measurePeersHere(sandbox: Sandbox, plan: Plan): Promise<Part> {
	let folder: string;
	let tools: ComparedTool[];
	try {
		plan.say('peers_here: packages');
		folder = await fetchTools();
		tools = comparedTools(folder).filter(({ name }) => tracepointTools.includes(name));
		for (const tool of tools) await (await ToolProcess.start(sandbox, tool, folder)).end();
	} catch (error) {
		if (sandbox.signal.aborted) throw error;
		return skippedPart('peers_here', (error as Error).message.split('\n', 1)[0] ?? '');
	}
	await using daemon = await startDaemon(sandbox, 'with');
	await using generator = await Generator.start(sandbox, clients);
	let watched = 0;

	const measure = async (cgroup: string, toolCgroup: string): Promise<ArmResult & { all: number }> => {
		const runs: ArmResult[] = [];
		let all = 0;
		// the first run is a warm-up
		for (let index = 0; index <= runsEach; index++) {
			const before = sandbox.cpuSeconds(toolCgroup);
			const run = await generator.run({ server: cgroup, client: cgroup }, { seconds });
			const tool = sandbox.cpuSeconds(toolCgroup) - before;
			all += run.connections;
			const cpuMicros = ((run.cpuSeconds + tool) / run.connections) * 1e6;
			if (index > 0) runs.push({ rate: run.rate, cpuMicros, toolShare: tool / run.seconds });
		}
		const middle = (read: (run: ArmResult) => number) => median(runs.map(read));
		return {
			rate: middle(({ rate }) => rate),
			cpuMicros: middle(({ cpuMicros }) => cpuMicros),
			toolShare: middle(({ toolShare }) => toolShare),
			all,
		};
	};
	const bare = () => measure('without', toolCgroup);
	const withToascope = async () => {
		daemon.child.kill('SIGCONT');
		const result = await measure('with', daemonCgroup);
		watched += result.all;
		await untilClosed(sandbox, daemon, watched);
		daemon.child.kill('SIGSTOP');
		return result;
	};
	const withTool = async (tool: ComparedTool) => {
		await using peer = await ToolProcess.start(sandbox, tool, folder);
		const result = await measure('without', toolCgroup);
		return { ...result, reported: countReported(tool, await peer.end()) / result.all };
	};

	sandbox.cgroup(toolCgroup);
	daemon.child.kill('SIGSTOP');
	const once = (arm: string) => {
		const tool = tools.find(({ name }) => name === arm);
		if (tool !== undefined) return withTool(tool);
		return arm === 'toascope' ? withToascope() : bare();
	};
	const names = ['bare', 'toascope', ...tools.map(({ name }) => name), 'control'];
	const { runs } = await runRounds(plan, 'peers_here', names, control, once, bounds).finally(() =>
		daemon.child.kill('SIGCONT'),
	);
	return summarise(runs, tools);
}

function summarise(runs: Readonly<Record<string, readonly ArmResult[]>>, tools: readonly ComparedTool[]): Part {
	const of = (name: string) => runs[name] ?? [];
	const bare = of('bare');
	const more = (run: ArmResult, without: ArmResult) => run.cpuMicros - without.cpuMicros;
	const added = (name: string) => compare(of(name), bare, more);
	const rate = (name: string) => compare(of(name), bare, (run, without) => run.rate / without.rate);
	const ofControl = compare(of('control'), bare, cpuRatio);
	const costs = (name: string) => of(name).map((run, round) => more(run, bare[round] as ArmResult));
	const share = compare(costs('toascope'), costs('tcplife'), (ours, theirs) => ours / theirs);
	const names = { toascope: 'toascope', ...Object.fromEntries(tools.map(({ name, what }) => [name, what])) };
	const measured = Object.entries({ ...names, control: 'control, no tool' });
	return {
		figures: {
			share,
			control: ofControl,
			added_cpu_microseconds: Object.fromEntries(measured.map(([name]) => [name, added(name)])),
			ratio: Object.fromEntries(measured.map(([name]) => [name, rate(name)])),
			stretches: runs,
		},
		rows: [
			{
				name: 'peers_here',
				what: rowTitle,
				value: formatEstimate(share, 2),
				aim,
				verdict: isInconclusive(ofControl) ? 'none' : share.median <= atMost ? 'met' : 'falls short',
				note: `${formatEstimate(added('toascope'), 2)} / ${formatEstimate(added('tcplife'), 2)} µs; without a tool ${formatEstimate(ofControl)}: ${spreadNote(ofControl)}`,
			},
			...measured.map(([name, what]) =>
				rowOf(name, what, of(name), formatEstimate(rate(name)), formatEstimate(added(name), 2)),
			),
		],
	};
}

function rowOf(name: string, what: string, results: readonly ArmResult[], ratio: string, added: string): Row {
	const middle = (read: (result: ArmResult) => number) => median(results.map(read));
	const lines = middle((result) => result.reported ?? Number.NaN);
	return {
		name: `peers_here_${name}`,
		what: `accepted connections per second, ${what} / no tool`,
		value: ratio,
		aim: '',
		verdict: 'none',
		note: [
			`${middle(({ rate }) => rate).toFixed(0)} per second; ${added} µs of CPU added per connection`,
			...(name === 'control'
				? []
				: [`its process took ${(middle(({ toolShare }) => toolShare) * 100).toFixed(0)} % of a core`]),
			...(Number.isNaN(lines) ? [] : [`it wrote ${lines.toFixed(2)} lines per connection`]),
		].join('; '),
	};
}
