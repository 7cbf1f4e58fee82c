// SPDX-License-Identifier: Apache-2.0
/**
 * The daemon's periodic tasks, by name: started one by one, stopped together; their failures are
 * counted and logged.
 */
import { codeOfError } from '../errors.ts';
import { LogLimit, type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import type { TaskStatistics } from '../model/tasks.ts';
import { type RepeatingTask, repeat, type Work } from './schedule.ts';

/**
 * Steps that can fail without failing their task. Their failures are 0 from the start, so that the
 * first one is an increase.
 */
const steps = [
	'events',
	'listeners',
	'neighbours',
	'owners',
	'open_records',
	'peers',
	'retention',
	'sampling',
	'unknown_options',
];

interface Counts {
	failures: number;
	runs: number;
	seconds: number;
	/** Failures since the last run that succeeded. */
	failing: number;
	/** The failures are in the log, and their end is not yet. */
	logged: boolean;
}

export class Tasks {
	readonly #log: LogSink;
	readonly #limit: LogLimit;
	readonly #running = new Map<string, RepeatingTask>();
	readonly #counts = new Map<string, Counts>();

	constructor(log: LogSink) {
		this.#log = log;
		this.#limit = new LogLimit(log);
		for (const step of steps) this.#of(step);
	}

	/**
	 * Runs `work` at once and then every `intervalMs`; see repeat(). `name` is a stable word,
	 * unique for each task. `onFailure` is called for each run that failed.
	 */
	start(
		name: string,
		intervalMs: number,
		work: Work,
		options: { readonly pauseFactor?: number; readonly onFailure?: (error: unknown) => void } = {},
	): RepeatingTask {
		const { onFailure, ...schedule } = options;
		const counts = this.#of(name);
		const repeated = repeat(intervalMs, work, {
			...schedule,
			onEnd: ({ tookMs, ...outcome }) => {
				counts.runs++;
				counts.seconds += tookMs / 1000;
				if ('error' in outcome) {
					this.recordFailure(name, outcome.error);
					onFailure?.(outcome.error);
				} else this.#recordSuccess(name, counts);
			},
		});
		this.#running.set(name, repeated);
		return repeated;
	}

	/**
	 * Counts and logs a failure: of a task, or of a step that others do not depend on (counted as a
	 * task of its own).
	 */
	recordFailure(name: string, err: unknown): void {
		const counts = this.#of(name);
		counts.failures++;
		counts.failing++;
		const logged = this.#limit.log(`${name} ${codeOfError(err)}`, logLines.taskFailed, { err, task: name });
		counts.logged ||= logged;
	}

	#recordSuccess(task: string, counts: Counts): void {
		if (counts.failing === 0) return;
		// only if the failure is in the log: a task that fails every other time would otherwise log
		// that every other time
		if (counts.logged) logLine(this.#log, logLines.taskRecovered, { task, failures: counts.failing });
		counts.failing = 0;
		counts.logged = false;
	}

	#of(name: string): Counts {
		let counts = this.#counts.get(name);
		if (counts === undefined) {
			counts = { failures: 0, runs: 0, seconds: 0, failing: 0, logged: false };
			this.#counts.set(name, counts);
		}
		return counts;
	}

	/** For every task that was started, and for every step. */
	statistics(): TaskStatistics[] {
		return [...this.#counts].map(([task, { failures, runs, seconds }]) => ({ task, failures, runs, seconds }));
	}

	/** Resolves when no task is running any more; none begins after the call. */
	async stop(): Promise<void> {
		await Promise.all([...this.#running.values()].map((one) => one.stop()));
	}
}
