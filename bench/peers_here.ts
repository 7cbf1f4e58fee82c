// SPDX-License-Identifier: Apache-2.0
/** toascope beside those of the other tools that this machine's own kernel takes, on its own processors. */
import { daemonPlace, startDaemon, whenClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import { compare, show, spreadNote, spreads } from './pairs.ts';
import { PeerProcess, peerPlace } from './peer_process.ts';
import { fetchPeerTools, type PeerTool, peerTools, told } from './peer_tools.ts';
import type { Part, Plan, Row } from './result.ts';
import { type Control, runRounds } from './rounds.ts';
import { median } from './statistics.ts';

/** Of what tcplife costs. */
export const atMost = 0.05;
export const question = 'what toascope costs, of what tcplife (libbpf-tools) costs: CPU time added to a connection';
export const aim = `at most ${atMost}`;

const clients = 1000;
const seconds = 0.4;
const runsEach = 5;
/** A tool takes seconds to start and to end. */
const bounds = { least: 12, most: 36, step: 4, quick: 2 };
/** They need nothing of a kernel but its tracepoints: no kprobes, no headers. */
const needLittle: readonly string[] = ['tcplife', 'tcpstates'];

/** One arm in one round: medians of its runs. */
interface Stretch {
	readonly rate: number;
	/** Of both ends for a connection, and of the tool. */
	readonly cpuMicros: number;
	/** Of the tool's processes alone, as a share of one processor. */
	readonly toolShare: number;
	/** What the tool told for each connection. */
	readonly told?: number;
}

const cpuRatio = (run: Stretch, without: Stretch) => run.cpuMicros / without.cpuMicros;
const control: Control<string, Stretch> = { arm: 'control', against: 'bare', how: cpuRatio };

export function leaveOut(name: string, reason: string): Part {
	return {
		figures: { left_out: reason },
		rows: [{ name, what: question, value: 'left out', aim, verdict: 'none', note: reason }],
	};
}

export async function measurePeersHere(ground: Ground, plan: Plan): Promise<Part> {
	let folder: string;
	let tools: PeerTool[];
	try {
		plan.say('peers_here: packages');
		folder = await fetchPeerTools();
		tools = peerTools(folder).filter(({ name }) => needLittle.includes(name));
		for (const tool of tools) await (await PeerProcess.start(ground, tool, folder)).end();
	} catch (error) {
		if (ground.signal.aborted) throw error;
		return leaveOut('peers_here', (error as Error).message.split('\n', 1)[0] ?? '');
	}
	await using daemon = await startDaemon(ground, 'with');
	await using generator = await Generator.start(ground, clients);
	let watched = 0;

	const measure = async (place: string, toolPlace: string): Promise<Stretch & { all: number }> => {
		const runs: Stretch[] = [];
		let all = 0;
		// the first one warms up
		for (let index = 0; index <= runsEach; index++) {
			const before = ground.cpuSeconds(toolPlace);
			const run = await generator.run({ server: place, client: place }, { seconds });
			const tool = ground.cpuSeconds(toolPlace) - before;
			all += run.connections;
			const cpuMicros = ((run.cpuSeconds + tool) / run.connections) * 1e6;
			if (index > 0) runs.push({ rate: run.rate, cpuMicros, toolShare: tool / run.seconds });
		}
		const middle = (read: (run: Stretch) => number) => median(runs.map(read));
		return {
			rate: middle(({ rate }) => rate),
			cpuMicros: middle(({ cpuMicros }) => cpuMicros),
			toolShare: middle(({ toolShare }) => toolShare),
			all,
		};
	};
	const bare = () => measure('without', peerPlace);
	const withToascope = async () => {
		daemon.child.kill('SIGCONT');
		const stretch = await measure('with', daemonPlace);
		watched += stretch.all;
		await whenClosed(ground, daemon, watched);
		daemon.child.kill('SIGSTOP');
		return stretch;
	};
	const withTool = async (tool: PeerTool) => {
		await using peer = await PeerProcess.start(ground, tool, folder);
		const stretch = await measure('without', peerPlace);
		return { ...stretch, told: told(tool, await peer.end()) / stretch.all };
	};

	ground.cgroup(peerPlace);
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

function summarise(runs: Readonly<Record<string, readonly Stretch[]>>, tools: readonly PeerTool[]): Part {
	const of = (name: string) => runs[name] ?? [];
	const bare = of('bare');
	const more = (run: Stretch, without: Stretch) => run.cpuMicros - without.cpuMicros;
	const added = (name: string) => compare(of(name), bare, more);
	const rate = (name: string) => compare(of(name), bare, (run, without) => run.rate / without.rate);
	const ofControl = compare(of('control'), bare, cpuRatio);
	const costs = (name: string) => of(name).map((run, round) => more(run, bare[round] as Stretch));
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
				what: question,
				value: show(share, 2),
				aim,
				verdict: spreads(ofControl) ? 'none' : share.median <= atMost ? 'met' : 'falls short',
				note: `${show(added('toascope'), 2)} / ${show(added('tcplife'), 2)} µs; without a tool ${show(ofControl)}: ${spreadNote(ofControl)}`,
			},
			...measured.map(([name, what]) => rowOf(name, what, of(name), show(rate(name)), show(added(name), 2))),
		],
	};
}

function rowOf(name: string, what: string, stretches: readonly Stretch[], ratio: string, added: string): Row {
	const middle = (read: (stretch: Stretch) => number) => median(stretches.map(read));
	const lines = middle((stretch) => stretch.told ?? Number.NaN);
	return {
		name: `peers_here_${name}`,
		what: `accepted connections per second, ${what} / no tool`,
		value: ratio,
		aim: '',
		verdict: 'none',
		note: [
			`${middle(({ rate }) => rate).toFixed(0)} per second; ${added} µs of CPU more for a connection`,
			...(name === 'control'
				? []
				: [`its process took ${(middle(({ toolShare }) => toolShare) * 100).toFixed(0)} % of a core`]),
			...(Number.isNaN(lines) ? [] : [`it wrote ${lines.toFixed(2)} lines for a connection`]),
		].join('; '),
	};
}
