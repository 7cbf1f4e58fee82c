// SPDX-License-Identifier: Apache-2.0
/** What the daemon's tasks did since its start. */

export interface TaskStatistics {
	/** Such as `collect`. */
	readonly task: string;
	readonly failures: number;
	readonly runs: number;
	/** Of all runs together. */
	readonly seconds: number;
}
