// SPDX-License-Identifier: Apache-2.0
/** The daemon's repeated tasks, by name: started one by one, ended together; their failures are counted and logged. */
import { codeOfError } from '../errors.ts';
import { LogLimit, type LogSink, logLines, tell } from '../log_lines.ts';
import type { TaskStatistics } from '../model/tasks.ts';
import { type Repeated, repeat, type Work } from './schedule.ts';

/** Steps that may fail without what they belong to: from the start their failures are 0, so that the first one is an increase. */
const steps = ['events', 'listeners', 'neighbours', 'owners', 'peers', 'unknown_options'];

interface Counts {
	failures: number;
	runs: number;
	seconds: number;
	/** Since the last run that succeeded. */
	failing: number;
	/** The log said that it fails, and not yet that it succeeds again. */
	told: boolean;
}

export class Tasks {
	readonly #log: LogSink;
	readonly #limit: LogLimit;
	readonly #running = new Map<string, Repeated>();
	readonly #counts = new Map<string, Counts>();

	constructor(log: LogSink) {
		this.#log = log;
		this.#limit = new LogLimit(log);
		for (const step of steps) this.#of(step);
	}

	/**
	 * Runs `work` now, and then every `intervalMs`; see repeat(). `name` is a stable word, once for each task.
	 * `onFailure` hears of each run that failed.
	 */
	start(
		name: string,
		intervalMs: number,
		work: Work,
		options: { readonly pauseFactor?: number; readonly onFailure?: (error: unknown) => void } = {},
	): Repeated {
		const { onFailure, ...schedule } = options;
		const counts = this.#of(name);
		const repeated = repeat(intervalMs, work, {
			...schedule,
			onEnd: ({ tookMs, ...outcome }) => {
				counts.runs++;
				counts.seconds += tookMs / 1000;
				if ('error' in outcome) {
					this.failed(name, outcome.error);
					onFailure?.(outcome.error);
				} else this.#succeeded(name, counts);
			},
		});
		this.#running.set(name, repeated);
		return repeated;
	}

	/** Counts and logs a failure: of a task, or of a step that others do not depend on (a task of its own in the numbers). */
	failed(name: string, err: unknown): void {
		const counts = this.#of(name);
		counts.failures++;
		counts.failing++;
		const told = this.#limit.tell(`${name} ${codeOfError(err)}`, logLines.taskFailed, { err, task: name });
		counts.told ||= told;
	}

	#succeeded(task: string, counts: Counts): void {
		if (counts.failing === 0) return;
		// one that fails every other time would say so every other time
		if (counts.told) tell(this.#log, logLines.taskRecovered, { task, failures: counts.failing });
		counts.failing = 0;
		counts.told = false;
	}

	#of(name: string): Counts {
		let counts = this.#counts.get(name);
		if (counts === undefined) {
			counts = { failures: 0, runs: 0, seconds: 0, failing: 0, told: false };
			this.#counts.set(name, counts);
		}
		return counts;
	}

	/** Of every task that was started, and of every step. */
	statistics(): TaskStatistics[] {
		return [...this.#counts].map(([task, { failures, runs, seconds }]) => ({ task, failures, runs, seconds }));
	}

	/** Resolves when none is running any more; none begins after the call. */
	async stop(): Promise<void> {
		await Promise.all([...this.#running.values()].map((one) => one.stop()));
	}
}
