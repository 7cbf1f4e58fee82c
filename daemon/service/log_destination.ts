// SPDX-License-Identifier: Apache-2.0
/**
 * Where the lines of the log go: standard error, whose reader may stand still (a paused pager, a stuck log driver) without
 * holding up the daemon. What it does not take at once waits, within a bound; further lines are lost, and counted.
 * sonic-boom's asynchronous mode is not used: it writes in libuv's threads, where a write that waits for its reader cannot be given
 * up and keeps the process from ending, and a line that was logged just before a crash is not out yet.
 */
import { constants, fstatSync, openSync, type Stats, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Native, native } from '../capture/native.ts';

/** Of lines that wait: some thousand. */
const maxWaitingBytes = 1 << 20;
const retryMs = 50;
const lineFeed = Buffer.from('\n');

type Write = (bytes: Uint8Array) => number;

export interface LogDestinationOptions {
	/** Default: standard error. */
	readonly fd?: number;
	/** Called when lines get through again after some were lost, with their number. */
	readonly onReaderBack: (lost: number) => void;
	/** Called when nobody can read any more (EPIPE), at each line. */
	readonly onReaderGone?: () => void;
}

export class LogDestination {
	readonly #write: Write;
	readonly #onReaderBack: (lost: number) => void;
	readonly #onReaderGone: () => void;
	#waiting: Buffer[] = [];
	#waitingBytes = 0;
	#timer: NodeJS.Timeout | undefined;
	#lost = 0;
	#lostUnsaid = 0;
	/** A line was cut off in its middle: the next one begins a new line. */
	#cut = false;
	/** The first of those that wait is the rest of a line whose beginning is written. */
	#begun = false;
	/** The last line was refused, not for want of room. */
	#refused = false;

	constructor({ fd = 2, onReaderBack, onReaderGone = () => {} }: LogDestinationOptions) {
		this.#write = writerOf(fd);
		this.#onReaderBack = onReaderBack;
		this.#onReaderGone = onReaderGone;
	}

	/** Lines that were thrown away so far. */
	get lost(): number {
		return this.#lost;
	}

	/** One line, with its line feed. Never throws, never waits. */
	write(line: string): void {
		const bytes = Buffer.from(line);
		if (this.#waiting.length > 0) {
			// in order: none overtakes those that wait
			if (this.#waitingBytes + bytes.length > maxWaitingBytes) this.#lose();
			else this.#keep(bytes);
			return;
		}
		const rest = this.#put(bytes);
		if (rest !== undefined) this.#keep(rest);
		else if (!this.#refused) this.#sayLost();
	}

	/** Resolves when nothing waits any more, or after `timeoutMs`. */
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
		if (!this.#refused) this.#sayLost();
	}

	#sayLost(): void {
		const lost = this.#lostUnsaid;
		this.#lostUnsaid = 0;
		if (lost > 0) this.#onReaderBack(lost);
	}

	/** What there was no room for; undefined: it is written, or lost, since it was refused for another reason (a full disk). */
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
			this.#lose();
			if ((error as NodeJS.ErrnoException).code === 'EPIPE') this.#onReaderGone();
		}
		return undefined;
	}

	#rest(line: Buffer, out: Buffer, at: number): Buffer {
		if (at === 0) return line;
		this.#begun = true;
		return out.subarray(at);
	}

	#lose(): void {
		this.#lost++;
		this.#lostUnsaid++;
	}
}

/** A function that writes to a descriptor without waiting for its reader, as far as its kind lets us. */
function writerOf(fd: number): Write {
	const file = statOf(fd);
	if (file?.isFIFO() === true || file?.isCharacterDevice() === true) {
		// an open file of its own: O_NONBLOCK on this one would be another's as well, such as a shell's
		try {
			const { O_WRONLY, O_APPEND, O_NONBLOCK, O_NOCTTY } = constants;
			const own = openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY);
			return (bytes) => writeSync(own, bytes);
		} catch {
			// another user's, or no /proc
		}
	}
	// a disk does not stand still, and its end is shared with others that write to the file
	if (file === undefined || file.isFile()) return (bytes) => writeSync(fd, bytes);
	return (bytes) => {
		const addon = loaded();
		return addon === undefined ? writeSync(fd, bytes) : addon.writeNow(fd, bytes);
	};
}

/** Undefined where it is not built: what says so must come out. */
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
