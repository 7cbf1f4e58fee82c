// SPDX-License-Identifier: Apache-2.0
/** The running daemon: reloads, periodic tasks, readiness. */
import type { LogLine } from '../log_line.ts';

export const operationLines = {
	reloaded: {
		level: 'info',
		text: 'configuration reloaded',
		meaning:
			'The contents of the file are in force. `changed` has each key that differs, with its value before and now where they are short.',
		fields: ['changed'],
	},
	restartKeys: {
		level: 'warn',
		text: 'these keys change only with a restart',
		meaning: 'The file has other values for them; those of the start stay in force.',
		fields: ['keys'],
	},
	reloadFailed: {
		level: 'error',
		text: 'reload failed: the previous configuration stays in force',
		meaning: '`err` says why. `toascope_config_last_reload_successful` is 0 until a reload succeeds.',
		fields: ['err'],
	},
	taskFailed: {
		level: 'error',
		text: 'a periodic task failed',
		meaning:
			'`task` is retried if it is `clock`, `collect`, `attachments`, `flush` or `drain`; any other name is a step that was skipped (`owners`: a connection without its owner). At most one line a minute for each cause; `left_out` says how many were left out before this one. `toascope_task_failures_total` counts them all.',
		fields: ['err', 'task', 'left_out'],
	},
	taskRecovered: {
		level: 'info',
		text: 'a periodic task succeeds again',
		meaning:
			'`task` had failed `failures` times in a row. Failures that were not logged are not followed by this line.',
		fields: ['task', 'failures'],
	},
	notReady: {
		level: 'warn',
		text: 'not ready',
		meaning:
			'`reasons` say what is wrong; `/readyz` answers 503 with them until none is left. At most one line a minute for the same reasons.',
		fields: ['reasons', 'left_out'],
	},
	readyAgain: {
		level: 'info',
		text: 'ready again',
		meaning: 'No reason for not being ready is left. It is logged only after `not ready`.',
	},
	metricFailed: {
		level: 'error',
		text: 'a metric could not be read',
		meaning: 'It is omitted from that scrape.',
		fields: ['err', 'metric'],
	},
} as const satisfies Record<string, LogLine>;
