// SPDX-License-Identifier: Apache-2.0
/**
 * Measures what open idle connections cost the daemon: sweep time, CPU time, and the longest block
 * of its event loop.
 */
import { setTimeout } from 'node:timers/promises';
import type { Daemon } from '../test/kit/daemon/daemon.ts';
import { total } from '../test/kit/telemetry/metrics.ts';
import { daemonCgroup, startDaemon } from './daemon.ts';
import { Holding } from './holding.ts';
import { measureOpenSweep, type OpenSweep } from './open_sweep.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';

const scales = [100_000, 500_000] as const;
const quickScales = [20_000] as const;
const blockAtMostMs = 10;
/** The tick of prom-client's monitor, which is the lag that an idle loop shows. */
const tickMs = 10;
/** Length of an interval, in which open connections are read at least once. */
const intervalMs = 6000;
const intervals = 6;
const cgroups = { server: 'with', client: 'without' };
const clients = 1000;

/** Measurements of a daemon, one for each interval. */
interface Idle {
	/** Longest block of the event loop. */
	readonly block_ms: readonly number[];
	/** CPU time, as a share of a core. */
	readonly cpu_share: readonly number[];
}

export async function measureOpenConnections(sandbox: Sandbox, plan: Plan): Promise<Part> {
	const figures: Record<string, object> = {};
	const rows: Row[] = [];
	for (const connections of plan.quick ? quickScales : scales) {
		// twice the number of open connections, as docs/notes/one-table.md recommends
		const config = `connections: {max: ${2 * connections}}`;
		plan.say(`open_connections: ${connections}, a daemon`);
		await using holding = await Holding.start(sandbox, clients);
		const daemon = await measureDaemon(sandbox, plan, config, holding, connections);
		plan.say(`open_connections: ${connections}, sweeps`);
		const sweep = await measureOpenSweep(sandbox, plan, cgroups.server, config, holding, connections);
		figures[connections] = { ...daemon, sweep };
		rows.push(...rowsOf(connections, daemon, sweep));
	}
	return { figures, rows };
}

interface DaemonFigures {
	readonly open: Idle;
	/** Before the first connection. */
	readonly none: Idle;
	/** Connections whose slots were all in use. */
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
				`median of ${open.block_ms.length} intervals of ${intervalMs / 1000} s: ${ms(median(open.block_ms))}; with none open: longest ${ms(Math.max(...none.block_ms))}, median ${ms(median(none.block_ms))}; a sweep by itself blocks it for at most ${ms(sweep.open.longestHoldMs)}, the median of its repeats`,
			),
			aim: `at most ${blockAtMostMs} ms`,
			verdict: longest <= blockAtMostMs ? 'met' : 'falls short',
		},
		row(
			'sweep',
			'BPF time of a sweep per open connection',
			eachNs(({ bpfMs }) => bpfMs),
			`the whole sweep, every 5 s, takes ${ms(sweep.open.bpfMs)}, and ${ms(sweep.none.bpfMs)} with none open; the usual sweep, every second, takes ${ms(sweep.usual.bpfMs)}; ${in_storage} connections used socket storage`,
		),
		row(
			'sweep_cpu',
			'daemon CPU time of a sweep per open connection',
			eachNs(({ cpuMs }) => cpuMs),
			`the whole sweep takes ${ms(sweep.open.cpuMs)}, and ${ms(sweep.none.cpuMs)} with none open; the usual sweep takes ${ms(sweep.usual.cpuMs)}`,
		),
		row('cpu', 'total daemon CPU', percent(open.cpu_share), `${percent(none.cpu_share)} with none open`),
	];
}

async function measureDaemon(
	sandbox: Sandbox,
	plan: Plan,
	config: string,
	holding: Holding,
	connections: number,
): Promise<DaemonFigures> {
	await using daemon = await startDaemon(sandbox, cgroups.server, config);
	const count = plan.quick ? 2 : intervals;
	const none = await measureIdle(sandbox, daemon, count);
	await holding.hold(cgroups, connections);
	await daemon.until(
		(samples) => total(samples, 'toascope_connections_opened_total') === BigInt(connections) || undefined,
	);
	const open = await measureIdle(sandbox, daemon, count);
	const samples = await daemon.metrics();
	await holding.drop();
	return { open, none, in_storage: Number(total(samples, 'toascope_drops_total', { reason: 'connections_full' })) };
}

async function measureIdle(sandbox: Sandbox, daemon: Daemon, count: number): Promise<Idle> {
	const blocks: number[] = [];
	const shares: number[] = [];
	// a scrape covers the time since the one before; the first covers the opening of the
	// connections
	await daemon.metrics();
	for (let interval = 0; interval < count; interval++) {
		const before = sandbox.cpuSeconds(daemonCgroup);
		await setTimeout(intervalMs, undefined, { signal: sandbox.signal });
		shares.push((sandbox.cpuSeconds(daemonCgroup) - before) / (intervalMs / 1000));
		const samples = await daemon.metrics();
		const lag = samples.find(({ name }) => name === 'nodejs_eventloop_lag_max_seconds')?.value;
		blocks.push(Math.max(0, Number(lag) * 1000 - tickMs));
	}
	return { block_ms: blocks, cpu_share: shares };
}
