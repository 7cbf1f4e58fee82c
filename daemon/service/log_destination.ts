// SPDX-License-Identifier: Apache-2.0
/**
 * Writes the log to standard error, whose reader can stall (a paused pager, a stuck log driver)
 * without holding up the daemon. What it does not accept at once is queued, up to a limit; further
 * lines are dropped and counted.
 * sonic-boom's asynchronous mode is not used: it writes in libuv's threads, where a write that
 * waits for its reader cannot be aborted and keeps the process from ending, and a line that was
 * logged just before a crash is not written.
 */
import { constants, fstatSync, openSync, type Stats, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Native, native } from '../../native/binding.ts';

/** The limit of queued lines: some thousand. */
const maxWaitingBytes = 1 << 20;
const retryMs = 50;
const lineFeed = Buffer.from('\n');

type Write = (bytes: Uint8Array) => number;

export interface LogDestinationOptions {
	/** Default: standard error. */
	readonly fd?: number;
	/** Called with the number of dropped lines when lines are accepted again. */
	readonly onResumed: (dropped: number) => void;
	/** Called at each line when there is no reader any more (EPIPE). */
	readonly onReaderGone?: () => void;
}

export class LogDestination {
	readonly #write: Write;
	readonly #onResumed: (dropped: number) => void;
	readonly #onReaderGone: () => void;
	#waiting: Buffer[] = [];
	#waitingBytes = 0;
	#timer: NodeJS.Timeout | undefined;
	#dropped = 0;
	#droppedUnreported = 0;
	/** A line was cut off in its middle: the next one begins with a line feed. */
	#cut = false;
	/** The first queued buffer is the rest of a line whose beginning is written. */
	#begun = false;
	/** The last line was refused for a reason other than a lack of room. */
	#refused = false;

	constructor({ fd = 2, onResumed, onReaderGone = () => {} }: LogDestinationOptions) {
		this.#write = writerOf(fd);
		this.#onResumed = onResumed;
		this.#onReaderGone = onReaderGone;
	}

	/** Lines dropped so far. */
	get dropped(): number {
		return this.#dropped;
	}

	/** Writes one line, which ends with a line feed. Never throws, never blocks. */
	write(line: string): void {
		const bytes = Buffer.from(line);
		if (this.#waiting.length > 0) {
			// lines stay in order: no line overtakes those that are queued
			if (this.#waitingBytes + bytes.length > maxWaitingBytes) this.#countDropped();
			else this.#keep(bytes);
			return;
		}
		const rest = this.#put(bytes);
		if (rest !== undefined) this.#keep(rest);
		else if (!this.#refused) this.#reportDropped();
	}

	/** Resolves when the queue is empty, or after `timeoutMs`. */
	async flush(timeoutMs: number): Promise<void> {
		const until = performance.now() + timeoutMs;
		while (this.#waiting.length > 0 && performance.now() < until) {
			this.#retry();
			if (this.#waiting.length > 0) await delay(Math.min(retryMs, timeoutMs));
		}
	}

	#keep(bytes: Buffer): void {
		this.#waiting.push(bytes);
		this.#waitingBytes += bytes.length;
		this.#timer ??= setTimeout(() => this.#retry(), retryMs).unref();
	}

	#retry(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		for (let bytes = this.#waiting.shift(); bytes !== undefined; bytes = this.#waiting.shift()) {
			this.#waitingBytes -= bytes.length;
			const rest = this.#put(bytes);
			if (rest === undefined) continue;
			this.#waiting.unshift(rest);
			this.#waitingBytes += rest.length;
			this.#timer = setTimeout(() => this.#retry(), retryMs).unref();
			return;
		}
		if (!this.#refused) this.#reportDropped();
	}

	#reportDropped(): void {
		const dropped = this.#droppedUnreported;
		this.#droppedUnreported = 0;
		if (dropped > 0) this.#onResumed(dropped);
	}

	/**
	 * Returns the bytes for which there was no room. Undefined: the line is written, or dropped
	 * because it was refused for another reason (a full disk).
	 */
	#put(line: Buffer): Buffer | undefined {
		const out = this.#cut && !this.#begun ? Buffer.concat([lineFeed, line]) : line;
		let at = 0;
		try {
			while (at < out.length) {
				const written = this.#write(out.subarray(at));
				if (written === 0) return this.#rest(line, out, at);
				at += written;
			}
			this.#cut = false;
			this.#begun = false;
			this.#refused = false;
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return this.#rest(line, out, at);
			this.#cut ||= at > 0 || this.#begun;
			this.#begun = false;
			this.#refused = true;
			this.#countDropped();
			if ((error as NodeJS.ErrnoException).code === 'EPIPE') this.#onReaderGone();
		}
		return undefined;
	}

	#rest(line: Buffer, out: Buffer, at: number): Buffer {
		if (at === 0) return line;
		this.#begun = true;
		return out.subarray(at);
	}

	#countDropped(): void {
		this.#dropped++;
		this.#droppedUnreported++;
	}
}

/**
 * Returns a function that writes to a descriptor without waiting for its reader, as far as the type
 * of the file permits.
 */
function writerOf(fd: number): Write {
	const file = statOf(fd);
	if (file?.isFIFO() === true || file?.isCharacterDevice() === true) {
		// an open file of its own: O_NONBLOCK on the inherited one would affect other processes,
		// such as a shell
		try {
			const { O_WRONLY, O_APPEND, O_NONBLOCK, O_NOCTTY } = constants;
			const own = openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY);
			return (bytes) => writeSync(own, bytes);
		} catch {
			// the file is another user's, or there is no /proc
		}
	}
	// a disk does not stall, and the file position is shared with other processes that write to the
	// file
	if (file === undefined || file.isFile()) return (bytes) => writeSync(fd, bytes);
	return (bytes) => {
		const addon = loaded();
		return addon === undefined ? writeSync(fd, bytes) : addon.writeNow(fd, bytes);
	};
}

/** Undefined where the addon is not built: the error that says so must still be logged. */
function loaded(): Native | undefined {
	try {
		return native();
	} catch {
		return undefined;
	}
}

function statOf(fd: number): Stats | undefined {
	try {
		return fstatSync(fd);
	} catch {
		return undefined;
	}
}
