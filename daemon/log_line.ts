// SPDX-License-Identifier: Apache-2.0
/** What a log line consists of, and how it is written. */

export interface LogLine {
	readonly level: 'info' | 'warn' | 'error';
	readonly text: string;
	/** What the line means, and what to do where action is needed. */
	readonly meaning: string;
	/** Names of the fields that accompany the text. */
	readonly fields?: readonly string[];
}

/** Where lines go: a pino logger, or an object that replaces one. */
export type LogSink = Readonly<Record<LogLine['level'], (context: object, text: string) => void>>;

/** Writes a line of logLines, with its fields. */
export function logLine(log: LogSink, line: LogLine, context: object = {}): void {
	log[line.level](context, line.text);
}

/** The least time between two lines of the same cause. */
const everyMs = 60_000;

interface LastLine {
	atMs: number;
	leftOut: number;
}

/**
 * Limits lines that repeat to one a minute for each cause. The next line that is written has the
 * number of those that were left out.
 */
export class LogLimit {
	readonly #log: LogSink;
	readonly #nowMs: () => number;
	readonly #lastLines = new Map<string, LastLine>();

	/** `nowMs`: a monotonic clock, in milliseconds. */
	constructor(log: LogSink, nowMs: () => number = () => performance.now()) {
		this.#log = log;
		this.#nowMs = nowMs;
	}

	/**
	 * `cause` must come from a small set, since causes are never forgotten. Returns whether the
	 * line was written.
	 */
	log(cause: string, line: LogLine, context: object = {}): boolean {
		const now = this.#nowMs();
		const last = this.#lastLines.get(cause);
		if (last !== undefined && now - last.atMs < everyMs) {
			last.leftOut++;
			return false;
		}
		logLine(this.#log, line, { ...context, ...(last !== undefined && last.leftOut > 0 && { left_out: last.leftOut }) });
		this.#lastLines.set(cause, { atMs: now, leftOut: 0 });
		return true;
	}
}
