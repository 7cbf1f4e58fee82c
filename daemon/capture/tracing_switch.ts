// SPDX-License-Identifier: Apache-2.0
/**
 * Switches by which others stop the tracing of kernel functions. A program or probe on a function stays attached then, as
 * the kernel says of its link, and does not run.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Switches {
	readonly proc: string;
	readonly sys: string;
}

const hostSwitches: Switches = { proc: '/proc', sys: '/sys' };

/** A switch that cannot be read, such as one in a debugfs that is not mounted, is taken for on. */
function isOff(path: string): boolean {
	try {
		return readFileSync(path, 'utf8').trim() === '0';
	} catch {
		return false;
	}
}

/** Why no program on a kernel function runs; undefined: they run. Kernels before 5.12 or so, and newer than 7, refuse the switch. */
export function functionsOff({ proc }: Switches = hostSwitches): string | undefined {
	return isOff(join(proc, 'sys/kernel/ftrace_enabled')) ? 'kernel.ftrace_enabled is 0' : undefined;
}

/** Why no kprobe runs; undefined: they run. On x86 those at the begin of a function go by the switch of functions as well. */
export function kprobesOff(switches: Switches = hostSwitches, arch: string = process.arch): string | undefined {
	if (isOff(join(switches.sys, 'kernel/debug/kprobes/enabled'))) return '/sys/kernel/debug/kprobes/enabled is 0';
	return arch === 'x64' ? functionsOff(switches) : undefined;
}
