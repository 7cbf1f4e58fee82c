// SPDX-License-Identifier: Apache-2.0
/** Lines that would come again and again: one in a minute for each cause, with the number of those that were left out. */
import { type LogLine, type LogSink, tell } from '../log_lines.ts';

const everyMs = 60_000;

interface Said {
	atMs: number;
	leftOut: number;
}

export class LogLimit {
	readonly #log: LogSink;
	readonly #nowMs: () => number;
	readonly #said = new Map<string, Said>();

	/** `nowMs`: milliseconds that only grow. */
	constructor(log: LogSink, nowMs: () => number = () => performance.now()) {
		this.#log = log;
		this.#nowMs = nowMs;
	}

	/** `cause` is one of few: it is remembered for good. */
	tell(cause: string, line: LogLine, context: object): void {
		const now = this.#nowMs();
		const said = this.#said.get(cause);
		if (said !== undefined && now - said.atMs < everyMs) {
			said.leftOut++;
			return;
		}
		tell(this.#log, line, { ...context, ...(said !== undefined && said.leftOut > 0 && { left_out: said.leftOut }) });
		this.#said.set(cause, { atMs: now, leftOut: 0 });
	}
}
