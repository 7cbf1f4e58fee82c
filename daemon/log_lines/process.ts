// SPDX-License-Identifier: Apache-2.0
/** The process: systemd, the log itself, signals, and the stop. */
import type { LogLine } from '../log_line.ts';

export const processLines = {
	notNotified: {
		level: 'warn',
		text: 'could not notify systemd (sd_notify)',
		meaning:
			'`NOTIFY_SOCKET` names a socket that does not accept `state`: under a unit with `Type=notify` systemd aborts the start after its timeout. Elsewhere the variable was inherited: unset it.',
		fields: ['err', 'state'],
	},
	linesLost: {
		level: 'warn',
		text: 'log lines were lost',
		meaning:
			'The reader of standard error was stalled, was slower than the lines were written (at most 1 MiB is buffered), or refused them (a full disk). `lost` lines were discarded since then; `toascope_log_lines_lost_total` counts all.',
		fields: ['lost'],
	},
	signalIgnored: {
		level: 'warn',
		text: 'a signal is ignored',
		meaning: 'A process sent `signal`, which toascope does not use. SIGHUP reloads; SIGTERM, SIGINT and SIGQUIT stop.',
		fields: ['signal', 'left_out'],
	},
	nodeWarning: {
		level: 'warn',
		text: 'Node.js emitted a warning',
		meaning: '`err` is the warning, such as that a function is deprecated: report it.',
		fields: ['err', 'left_out'],
	},
	crashed: {
		level: 'error',
		text: 'internal error: the daemon exits',
		meaning: 'Report it, with `err`. Pinned programs and counters stay as after a kill: the next start adopts them.',
		fields: ['err'],
	},
	stopping: { level: 'info', text: 'stopping', meaning: 'A signal was received.', fields: ['signal'] },
	stoppedKept: {
		level: 'info',
		text: 'stopped: the programs stay attached and count',
		meaning: '`on_exit: keep`; the next daemon adopts the counters, and the records that wait for spans.',
		fields: ['on_exit', 'records_dropped'],
	},
	stoppedPartlyKept: {
		level: 'warn',
		text: 'stopped: not everything stays attached and counts',
		meaning:
			'`on_exit: keep`, but what `not_kept` names is not kept: what is not attached observes no connection until the next start; what is not pinned, or cannot be reached, starts from zero then.',
		fields: ['on_exit', 'records_dropped', 'not_kept'],
	},
	stopped: {
		level: 'info',
		text: 'stopped: detached',
		meaning:
			'Nothing is left in the kernel. `records_dropped`: the number of records for spans that could not be processed in time.',
		fields: ['on_exit', 'records_dropped'],
	},
} as const satisfies Record<string, LogLine>;
