// SPDX-License-Identifier: Apache-2.0
/** What connections that are open and idle cost the daemon: its sweeps of them, its processor time, and how long it holds its event loop. */
import { setTimeout } from 'node:timers/promises';
import type { Daemon } from '../test/fixtures/daemon.ts';
import { total } from '../test/fixtures/metrics.ts';
import { daemonPlace, startDaemon } from './daemon.ts';
import type { Ground } from './ground.ts';
import { Holding } from './holding.ts';
import { measureOpenSweep, type OpenSweep } from './open_sweep.ts';
import type { Part, Plan, Row } from './result.ts';
import { median } from './statistics.ts';

const scales = [100_000, 500_000] as const;
const quickScales = [20_000] as const;
const blockAtMostMs = 10;
/** prom-client's monitor ticks so often: an idle loop shows this. */
const tickMs = 10;
/** Of one measurement: open connections are read once in this time at least. */
const intervalMs = 6000;
const intervals = 6;
const ours = { server: 'with', client: 'without' };
const clients = 1000;

/** Of a daemon, in each interval. */
interface Idle {
	/** The longest block of its event loop. */
	readonly block_ms: readonly number[];
	/** Of a core. */
	readonly cpu_share: readonly number[];
}

export async function measureOpenConnections(ground: Ground, plan: Plan): Promise<Part> {
	const figures: Record<string, object> = {};
	const rows: Row[] = [];
	for (const connections of plan.quick ? quickScales : scales) {
		// as docs/architecture.md has it: twice what is open at a time
		const config = `connections: {max: ${2 * connections}}`;
		plan.say(`open_connections: ${connections}, a daemon`);
		await using holding = await Holding.start(ground, clients);
		const daemon = await ofDaemon(ground, plan, config, holding, connections);
		plan.say(`open_connections: ${connections}, sweeps`);
		const sweep = await measureOpenSweep(ground, plan, ours.server, config, holding, connections);
		figures[connections] = { ...daemon, sweep };
		rows.push(...rowsOf(connections, daemon, sweep));
	}
	return { figures, rows };
}

interface DaemonFigures {
	readonly open: Idle;
	/** Before the first connection. */
	readonly none: Idle;
	/** Connections that found their slots taken. */
	readonly in_storage: number;
}

function rowsOf(connections: number, { open, none, in_storage }: DaemonFigures, sweep: OpenSweep): Row[] {
	const longest = Math.max(...open.block_ms);
	const ms = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
	const percent = (shares: readonly number[]) => `${(median(shares) * 100).toFixed(1)} % of a core`;
	const eachNs = (read: (time: OpenSweep['open']) => number) =>
		`${(((read(sweep.open) - read(sweep.none)) / connections) * 1e6).toFixed(0)} ns`;
	const row = (name: string, what: string, value: string, note: string): Row => ({
		name: `open_${connections}_${name}`,
		what: `${what}, ${connections} open connections`,
		value,
		aim: '',
		verdict: 'none',
		note,
	});
	return [
		{
			...row(
				'block',
				'longest block of the event loop',
				ms(longest),
				`median of ${open.block_ms.length} intervals of ${intervalMs / 1000} s: ${ms(median(open.block_ms))}; with none open: longest ${ms(Math.max(...none.block_ms))}, median ${ms(median(none.block_ms))}; a sweep by itself holds it for ${ms(sweep.open.longestHoldMs)} at its longest, the median of its repeats`,
			),
			aim: `at most ${blockAtMostMs} ms`,
			verdict: longest <= blockAtMostMs ? 'met' : 'falls short',
		},
		row(
			'sweep',
			'BPF time of a sweep for each open one',
			eachNs(({ bpfMs }) => bpfMs),
			`the whole sweep, every 5 s, takes ${ms(sweep.open.bpfMs)}, and ${ms(sweep.none.bpfMs)} with none open; the usual one, every second, takes ${ms(sweep.usual.bpfMs)}; ${in_storage} were in socket storage`,
		),
		row(
			'sweep_cpu',
			'CPU time of the daemon in a sweep for each open one',
			eachNs(({ cpuMs }) => cpuMs),
			`the whole sweep takes ${ms(sweep.open.cpuMs)}, and ${ms(sweep.none.cpuMs)} with none open; the usual one takes ${ms(sweep.usual.cpuMs)}`,
		),
		row('cpu', 'daemon CPU, all of it', percent(open.cpu_share), `${percent(none.cpu_share)} with none open`),
	];
}

async function ofDaemon(
	ground: Ground,
	plan: Plan,
	config: string,
	holding: Holding,
	connections: number,
): Promise<DaemonFigures> {
	await using daemon = await startDaemon(ground, ours.server, config);
	const many = plan.quick ? 2 : intervals;
	const none = await idle(ground, daemon, many);
	await holding.hold(ours, connections);
	await daemon.until(
		(samples) => total(samples, 'toascope_connections_opened_total') === BigInt(connections) || undefined,
	);
	const open = await idle(ground, daemon, many);
	const samples = await daemon.metrics();
	await holding.drop();
	return { open, none, in_storage: Number(total(samples, 'toascope_drops_total', { reason: 'connections_full' })) };
}

async function idle(ground: Ground, daemon: Daemon, many: number): Promise<Idle> {
	const blocks: number[] = [];
	const shares: number[] = [];
	// a scrape shows what was since the one before: the first one shows how they opened
	await daemon.metrics();
	for (let interval = 0; interval < many; interval++) {
		const before = ground.cpuSeconds(daemonPlace);
		await setTimeout(intervalMs, undefined, { signal: ground.signal });
		shares.push((ground.cpuSeconds(daemonPlace) - before) / (intervalMs / 1000));
		const samples = await daemon.metrics();
		const lag = samples.find(({ name }) => name === 'nodejs_eventloop_lag_max_seconds')?.value;
		blocks.push(Math.max(0, Number(lag) * 1000 - tickMs));
	}
	return { block_ms: blocks, cpu_share: shares };
}
