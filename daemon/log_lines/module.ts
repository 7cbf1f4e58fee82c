// SPDX-License-Identifier: Apache-2.0
/** `toa.ko`. */
import type { LogLine } from '../log_line.ts';

export const moduleLines = {
	moduleLoaded: {
		level: 'info',
		text: 'toa.ko is loaded and answers',
		meaning:
			'`how`: `loaded` by this daemon, which unloads it when it stops and detaches; `was loaded`: it was loaded before.',
		fields: ['how', 'version', 'srcversion'],
	},
	moduleClientsOnly: {
		level: 'warn',
		text: 'toa.ko ignores `vip_at` and `uses` of profiles; provider bpf supports them',
		meaning:
			'`profiles` are those with `vip_at` or `uses`. Their clients are known, to every application alike; getsockopt(1345) to 1347 fail, and no connection has a `virtual_server`.',
		fields: ['profiles'],
	},
	moduleUnloaded: {
		level: 'error',
		text: 'toa.ko was unloaded: no application gets a client until it is loaded again',
		meaning:
			'Another process unloaded it, or replaced it with another module. The daemon loads it again, at most once every ten seconds; a line that begins with `toa.ko is loaded` reports it.',
		fields: ['found', 'left_out'],
	},
	moduleReloadFailed: {
		level: 'error',
		text: 'toa.ko cannot be loaded again',
		meaning:
			'`err` says why. The daemon retries after ten seconds, then at growing intervals of at most ten minutes, and sooner when another module is loaded or unloaded; at most one line a minute for each cause.',
		fields: ['err', 'left_out'],
	},
	moduleParameters: {
		level: 'warn',
		text: 'the parameters of toa.ko were changed by another process and are restored',
		meaning:
			'Between two checks, at most a second, the module used `found`. Change the configuration and reload instead. `err`: why they cannot be restored.',
		fields: ['found', 'err', 'left_out'],
	},
	moduleSwitchedOff: {
		level: 'error',
		text: 'the probes of toa.ko are switched off: it misses options',
		meaning:
			'`why` stops every kprobe: options on the segment that ends a handshake are missed, those on the SYN and on data are read. `sysctl kernel.ftrace_enabled=1`, or `echo 1 > /sys/kernel/debug/kprobes/enabled`, lets them run again.',
		fields: ['why', 'left_out'],
	},
	moduleStaysLoaded: {
		level: 'warn',
		text: 'toa.ko stays loaded',
		meaning: 'It could not be unloaded at the stop; `err` says why.',
		fields: ['err'],
	},
	moduleNotRestored: {
		level: 'warn',
		text: 'toa.ko keeps the profiles and networks of a start that failed',
		meaning:
			'It was loaded before, and its previous profiles and trusted networks could not be restored; `err` says why. Write its parameters.',
		fields: ['err'],
	},
} as const satisfies Record<string, LogLine>;
