// SPDX-License-Identifier: Apache-2.0
/** The daemon's repeated tasks, by name: started one by one, ended together. */
import { type LogSink, logLines, tell } from '../log_lines.ts';
import { type Repeated, repeat, type Work } from './schedule.ts';

export class Tasks {
	readonly #log: LogSink;
	readonly #running = new Map<string, Repeated>();

	constructor(log: LogSink) {
		this.#log = log;
	}

	/** Runs `work` now, and then every `intervalMs`; see repeat(). `name` is a stable word, once for each task. */
	start(name: string, intervalMs: number, work: Work, pauseFactor?: number): Repeated {
		const onError = (err: unknown) => tell(this.#log, logLines.taskFailed, { err, task: name });
		const repeated = repeat(intervalMs, work, onError, pauseFactor);
		this.#running.set(name, repeated);
		return repeated;
	}

	/** Resolves when none is running any more; none begins after the call. */
	async stop(): Promise<void> {
		await Promise.all([...this.#running.values()].map((one) => one.stop()));
	}
}
