// SPDX-License-Identifier: Apache-2.0
/** What the daemon's tasks have done since its start. */

export interface TaskStatistics {
	/** The task's name, such as `collect`. */
	readonly task: string;
	readonly failures: number;
	readonly runs: number;
	/** Total duration of all runs. */
	readonly seconds: number;
}
