// SPDX-License-Identifier: Apache-2.0
/** Describes the machine, and how busy it was. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import type { Sandbox } from './sandbox.ts';

export interface Machine {
	readonly cpu: string;
	readonly processors: number;
	readonly memory_gib: number;
	readonly kernel: string;
	/** Share of the time of all processors that was in use in the second before the bench began. */
	readonly busy_before: number;
	/** BPF programs of other software on the hooks that toascope uses. */
	readonly other_programs: number;
}

/** Busy jiffies and all jiffies since boot: proc(5), /proc/stat. */
function jiffies(): { busy: number; all: number } {
	const fields = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]?.split(/\s+/).slice(1, 9).map(Number) ?? [];
	const all = fields.reduce((sum, field) => sum + field, 0);
	return { busy: all - (fields[3] ?? 0) - (fields[4] ?? 0), all };
}

/** Ticks per second of the clock that /proc/stat counts in. */
const jiffiesPerSecond = 100;

/**
 * Returns a function for the share of the time of all processors that other processes took since
 * this call: the busy time minus that of the bench. If the kernel accounts interrupts separately
 * (CONFIG_IRQ_TIME_ACCOUNTING), the bench's own interrupts count as other processes.
 */
export function watchOtherProcesses(sandbox: Sandbox): () => number {
	const readUsage = () => {
		const { user, system } = process.cpuUsage();
		return { ...jiffies(), own: sandbox.cpuSeconds() + (user + system) / 1e6 };
	};
	const before = readUsage();
	return () => {
		const after = readUsage();
		const others = after.busy - before.busy - (after.own - before.own) * jiffiesPerSecond;
		return Math.max(0, others / (after.all - before.all));
	};
}

export async function describeMachine(sandbox: Sandbox): Promise<Machine> {
	const before = jiffies();
	await setTimeout(1000, undefined, { signal: sandbox.signal });
	const after = jiffies();
	return {
		cpu: cpus()[0]?.model ?? 'unknown',
		processors: availableParallelism(),
		memory_gib: Math.round(totalmem() / 2 ** 30),
		kernel: release(),
		busy_before: Number(((after.busy - before.busy) / (after.all - before.all)).toFixed(3)),
		other_programs: await sandbox.otherPrograms(),
	};
}
