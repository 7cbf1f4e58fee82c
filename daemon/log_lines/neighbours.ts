// SPDX-License-Identifier: Apache-2.0
/** Programs of other processes on the same sockets. */
import type { LogLine } from '../log_line.ts';

export const neighbourLines = {
	otherToascope: {
		level: 'warn',
		text: 'another toascope with a different trust is attached to the same sockets',
		meaning:
			'Both answer for the sockets that they share: the laxer one answers getsockopt(4096) for connections that the other counts as untrusted. `trust`: the networks of the other; empty: every sender; `unknown`: the kernel shows it only to CAP_SYS_ADMIN. `pids`: `unknown` in a pid namespace, or where a process cannot be inspected (CAP_SYS_PTRACE allows it). Give both the same `trust`, or cgroups that do not overlap.',
		fields: ['cgroup', 'pids', 'trust'],
	},
	leftAttached: {
		level: 'warn',
		text: 'programs of a toascope that is no longer running are attached to the same sockets',
		meaning:
			'They still apply its settings, `trust` among them. Another mount can hide their pins: `umount` it, and start again. Or detach each link that `bpftool link show` lists with one of `programs`: `bpftool link detach id LINK`.',
		fields: ['cgroup', 'programs', 'trust'],
	},
	programNamesHidden: {
		level: 'info',
		text: 'other programs are attached to the same sockets; their names are hidden from this process',
		meaning:
			'The kernel shows the names of programs only to CAP_SYS_ADMIN: without it this process cannot determine whether one of these `programs` (their number) belongs to another toascope with another `trust`. `cgroups`: where they are attached, the first eight. Run `toascope doctor` as root, which reads all names, or give the daemon that capability.',
		fields: ['programs', 'cgroups'],
	},
} as const satisfies Record<string, LogLine>;
