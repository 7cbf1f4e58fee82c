// SPDX-License-Identifier: Apache-2.0
/** The kernel's run-time statistics of BPF programs, read from a daemon's metrics. */
import { type Sample, total } from '../test/kit/telemetry/metrics.ts';

/** By program. */
export type Counts = Readonly<Record<string, { readonly runs: number; readonly ns: number }>>;

export function programCounts(samples: readonly Sample[]): Counts {
	const seconds = samples.filter(({ name }) => name === 'toascope_bpf_program_run_seconds_total');
	return Object.fromEntries(
		seconds.map(({ labels, value }) => [
			labels.program ?? '',
			{ runs: Number(total(samples, 'toascope_bpf_program_runs_total', labels)), ns: Number(value) * 1e9 },
		]),
	);
}

export function difference(after: Counts, before: Counts): Counts {
	return Object.fromEntries(
		Object.entries(after).map(([program, { runs, ns }]) => [
			program,
			{ runs: runs - (before[program]?.runs ?? 0), ns: ns - (before[program]?.ns ?? 0) },
		]),
	);
}

/**
 * The programs that a daemon runs to count connections afterwards. The last two belong to versions
 * without the sweep.
 */
const counting: ReadonlySet<string> = new Set(['toascope_sweep', 'toascope_flush', 'toascope_reap']);

export function isSweep(program: string): boolean {
	return counting.has(program);
}

/** The sum over all programs. */
export function allNs(counts: Counts): number {
	return Object.values(counts).reduce((all, { ns }) => all + ns, 0);
}

/**
 * Measured time of a call of a program that does nothing on the same hook. Programs on other hooks
 * are compared with the sockops one.
 */
function emptyCallNs(program: string, empty: Counts): number {
	const { runs, ns } = empty[program.replace('toascope_', '')] ?? empty.sockops ?? { runs: 0, ns: 0 };
	return runs === 0 ? 0 : ns / runs;
}

/**
 * Time of those programs, minus that of as many calls of programs that do nothing, since the
 * statistics include a part of their own overhead.
 */
export function netNs(counts: Counts, empty: Counts, isOf: (program: string) => boolean = () => true): number {
	return Object.entries(counts)
		.filter(([program]) => isOf(program))
		.reduce((all, [program, { runs, ns }]) => all + ns - runs * emptyCallNs(program, empty), 0);
}
