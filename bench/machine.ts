// SPDX-License-Identifier: Apache-2.0
/** Which machine it was, and whether it was quiet. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import type { Ground } from './ground.ts';

export interface Machine {
	readonly cpu: string;
	readonly processors: number;
	readonly memory_gib: number;
	readonly kernel: string;
	/** Share of all processors that was in use in the second before the bench began. */
	readonly busy_before: number;
	/** BPF programs of others on the hooks that toascope uses. */
	readonly other_programs: number;
}

/** Busy and all jiffies since boot: proc(5), /proc/stat. */
function jiffies(): { busy: number; all: number } {
	const fields = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]?.split(/\s+/).slice(1, 9).map(Number) ?? [];
	const all = fields.reduce((sum, field) => sum + field, 0);
	return { busy: all - (fields[3] ?? 0) - (fields[4] ?? 0), all };
}

/** Of the clock that /proc/stat counts in. */
const jiffiesPerSecond = 100;

/**
 * From the call on, the share of all processors that others took: what was busy less what the bench used. Where the
 * kernel accounts interrupts apart (CONFIG_IRQ_TIME_ACCOUNTING), the bench's own count among others.
 */
export function watchOthers(ground: Ground): () => number {
	const look = () => {
		const { user, system } = process.cpuUsage();
		return { ...jiffies(), own: ground.cpuSeconds() + (user + system) / 1e6 };
	};
	const before = look();
	return () => {
		const after = look();
		const others = after.busy - before.busy - (after.own - before.own) * jiffiesPerSecond;
		return Math.max(0, others / (after.all - before.all));
	};
}

export async function describeMachine(ground: Ground): Promise<Machine> {
	const before = jiffies();
	await setTimeout(1000, undefined, { signal: ground.signal });
	const after = jiffies();
	return {
		cpu: cpus()[0]?.model ?? 'unknown',
		processors: availableParallelism(),
		memory_gib: Math.round(totalmem() / 2 ** 30),
		kernel: release(),
		busy_before: Number(((after.busy - before.busy) / (after.all - before.all)).toFixed(3)),
		other_programs: await ground.otherPrograms(),
	};
}
