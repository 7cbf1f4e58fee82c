// SPDX-License-Identifier: Apache-2.0
/** The start of the daemon, and the choice of its provider. */
import type { LogLine } from '../log_line.ts';

export const startLines = {
	attached: {
		level: 'info',
		text: 'attached: every TOA connection from now on is resolved to its client',
		meaning:
			'The start is complete and the programs are attached. `http` and `socket` say where HTTP listens; `not yet`: an earlier line says why.',
		fields: ['provider', 'accept', 'cgroup', 'adopted', 'http', 'socket'],
	},
	started: {
		level: 'info',
		text: 'started: no connection is observed until the programs are attached',
		meaning:
			'The start is complete, but the programs are not attached yet: an earlier line says what is awaited, such as a cgroup. `http` and `socket` say where HTTP listens; `not yet`: an earlier line says why.',
		fields: ['provider', 'accept', 'cgroup', 'adopted', 'http', 'socket'],
	},
	bpfRefused: {
		level: 'warn',
		text: 'provider auto: bpf does not work here, trying the module',
		meaning: '`err` says why. With `provider: module` in the configuration this line is not logged.',
		fields: ['err'],
	},
	compatServers: {
		level: 'warn',
		text: '32-bit servers get no answer to getsockopt(4096) from the provider bpf',
		meaning:
			'The kernel runs no getsockopt program for 32-bit processes: there getsockopt(4096) fails with ENOPROTOOPT. `servers` lists those that are listening now. `provider: module` answers them, and `transparent` works for them with either provider.',
		fields: ['servers'],
	},
	autoModule: {
		level: 'info',
		text: 'provider auto: using toa.ko, which 32-bit servers require',
		meaning:
			'getsockopt(4096) calls of `servers` reach no BPF program. With `provider: bpf` in the configuration `bpf` is used nevertheless.',
		fields: ['servers'],
	},
	moduleNotForCompat: {
		level: 'warn',
		text: 'provider auto: the module does not work here, using bpf: 32-bit servers get no answer',
		meaning: '`err` says why. With `provider: module` in the configuration the start fails instead.',
		fields: ['err'],
	},
	moduleFailedToo: {
		level: 'warn',
		text: 'provider auto: the module does not work here either',
		meaning: '`err` says why. The daemon exits with the error of `bpf`.',
		fields: ['err'],
	},
	moduleOnly: {
		level: 'warn',
		text: 'BPF is not available: toa.ko answers getsockopt(4096), but connections are not tracked',
		meaning: '`err` says what refused it. The metrics contain what the module counts.',
		fields: ['err'],
	},
	trustEmpty: {
		level: 'warn',
		text: 'trust is empty: every sender of a TOA option is trusted',
		meaning: 'Set `trust` to the networks of your balancers ([security](../security.md)).',
	},
	notTheRoot: {
		level: 'warn',
		text: 'this is not the root of cgroup v2: sockets outside this container are not observed',
		meaning: 'In a container: share the cgroup namespace of the host and mount its `/sys/fs/cgroup`.',
		fields: ['cgroup'],
	},
	noFexit: {
		level: 'info',
		text: 'this kernel refuses fexit: an accept() without an address buffer is unobserved, its owner is the listener',
		meaning: 'No action is needed: `toascope_accepts_total{seen="unseen"}` counts them.',
		fields: ['errno'],
	},
	pidNamespace: {
		level: 'warn',
		text: 'running in a separate PID namespace: process IDs from the kernel do not match /proc',
		meaning:
			'The daemon runs in a container with a pid namespace. `process.pid` is the process ID on the host; containers are identified by cgroup v2 only; owners are searched for among the processes of this container; TCP_SAVE_SYN is not set on listeners that existed before. `hint` says what helps.',
		fields: ['hint'],
	},
} as const satisfies Record<string, LogLine>;
