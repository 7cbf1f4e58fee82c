// SPDX-License-Identifier: Apache-2.0
/** Programs that are detached, switched off or attached again, and the SYNs that listeners save. */
import type { LogLine } from '../log_line.ts';

export const attachmentLines = {
	cgroupAwaited: {
		level: 'warn',
		text: 'the cgroup does not exist yet: programs are attached as soon as it does',
		meaning:
			'The key `cgroup` names a directory that does not exist, such as that of a service that has not started. Until it does, `/readyz` answers 503. If it never will, correct the key and restart the daemon.',
		fields: ['cgroup'],
	},
	detached: {
		level: 'error',
		text: 'programs were detached: no connection is observed until they are attached again',
		meaning:
			'Another process detached `programs`, or removed the cgroup that they were attached to, as a service manager does when a service restarts. They are attached again as soon as the cgroup exists; connections that opened in between are not counted.',
		fields: ['programs', 'cgroup', 'cgroup_exists', 'left_out'],
	},
	switchedOff: {
		level: 'error',
		text: 'programs are switched off: the kernel does not run them',
		meaning:
			'Their links are unchanged, but `why` stops every program on a kernel function: `sysctl kernel.ftrace_enabled=1` lets them run again. Until then accepts are `unseen`, with the listener as owner; clients and counters do not depend on these programs.',
		fields: ['programs', 'why', 'left_out'],
	},
	reattached: {
		level: 'warn',
		text: 'programs are attached again',
		meaning:
			'The counters continue. Connections that opened while the programs were detached are not in them. At most one line a minute for the same programs, as for `programs were detached`; `toascope_attachments_lost_total` counts every loss.',
		fields: ['programs', 'cgroup', 'left_out'],
	},
	reattachFailed: {
		level: 'error',
		text: 'programs cannot be attached again',
		meaning:
			'`err` says why, `program` which one (`settings`: the settings that programs on tracepoints use). Each is retried every second, whether or not the others succeed. At most one line a minute for each cause.',
		fields: ['err', 'program', 'left_out'],
	},
	synsNotSaved: {
		level: 'warn',
		text: 'options on the SYN are not read for listeners that existed before',
		meaning:
			'TCP_SAVE_SYN could not be set on servers that were listening already. `hint` says what helps: restart these servers, or give toascope CAP_SYS_PTRACE.',
		fields: ['code', 'listeners', 'hint', 'left_out'],
	},
	saveSynRestored: {
		level: 'warn',
		text: 'listeners did not save the SYNs of their connections: TCP_SAVE_SYN is set again',
		meaning:
			'They began to listen while programs were detached, or another process switched TCP_SAVE_SYN off. Options on the SYN of their connections were not read until now. At most one line a minute; `toascope_attachments_lost_total{attachment="syns"}` counts every loss.',
		fields: ['listeners', 'left_out'],
	},
	saveSynNotReset: {
		level: 'warn',
		text: 'listeners continue to save the SYNs of their connections',
		meaning:
			'`toascope detach` could not load the programs that reset TCP_SAVE_SYN; `err` says why. Programs, pins and counters are removed nevertheless. Each pending connection of these listeners uses some hundred bytes more until the server restarts; what the server answers does not change.',
		fields: ['err'],
	},
} as const satisfies Record<string, LogLine>;
