// SPDX-License-Identifier: Apache-2.0
/**
 * Switches by which other processes can stop the tracing of kernel functions. A program or probe on
 * a function then stays attached, as its link still shows, but does not run.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Switches {
	readonly proc: string;
	readonly sys: string;
}

const hostSwitches: Switches = { proc: '/proc', sys: '/sys' };

/** A switch that cannot be read, such as one in a debugfs that is not mounted, counts as on. */
function isOff(path: string): boolean {
	try {
		return readFileSync(path, 'utf8').trim() === '0';
	} catch {
		return false;
	}
}

/**
 * Why programs on kernel functions do not run; undefined: they run. Kernels before about 5.12, and
 * newer than 7, refuse to switch them off.
 */
export function ftraceOffReason({ proc }: Switches = hostSwitches): string | undefined {
	return isOff(join(proc, 'sys/kernel/ftrace_enabled')) ? 'kernel.ftrace_enabled is 0' : undefined;
}

/**
 * Why kprobes do not run; undefined: they run. On x86 a kprobe at the beginning of a function
 * depends on the switch for functions as well.
 */
export function kprobesOffReason(switches: Switches = hostSwitches, arch: string = process.arch): string | undefined {
	if (isOff(join(switches.sys, 'kernel/debug/kprobes/enabled'))) return '/sys/kernel/debug/kprobes/enabled is 0';
	return arch === 'x64' ? ftraceOffReason(switches) : undefined;
}
