// SPDX-License-Identifier: Apache-2.0
/**
 * Reads what the kernel logs from now on: /dev/kmsg (kernel, Documentation/ABI/testing/dev-kmsg).
 */
import { closeSync, constants, openSync, readSync } from 'node:fs';

const recordMax = 8192;
const linesMax = 8;

export class KernelLog {
	/** -1: this process cannot read the kernel log. */
	readonly #fd: number;

	/** Skips what is in the kernel log already. */
	constructor(path = '/dev/kmsg') {
		this.#fd = open(path);
		this.#read(() => {});
	}

	/** Lines since the last call, at most the latest eight. */
	lines(): string[] {
		const lines: string[] = [];
		this.#read((record) => {
			const line = messageOf(record);
			if (line !== undefined) lines.push(line);
		});
		return lines.slice(-linesMax);
	}

	close(): void {
		if (this.#fd >= 0) closeSync(this.#fd);
	}

	#read(onRecord: (record: string) => void): void {
		const buffer = Buffer.alloc(recordMax);
		while (this.#fd >= 0) {
			try {
				const length = readSync(this.#fd, buffer);
				// in a container the file can be /dev/null
				if (length === 0) return;
				onRecord(buffer.toString('utf8', 0, length));
			} catch (error) {
				const { code } = error as NodeJS.ErrnoException;
				// EPIPE: unread records were overwritten
				if (code !== 'EPIPE' && code !== 'EINVAL') return;
			}
		}
	}
}

function open(path: string): number {
	try {
		return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
	} catch {
		return -1;
	}
}

/**
 * The text of a record `PRIORITY,NUMBER,TIME,FLAGS;TEXT`, without the lines of its dictionary;
 * undefined: the record is from user space.
 */
export function messageOf(record: string): string | undefined {
	const text = /^(\d+),[^;]*;([^\n]*)/.exec(record);
	// the facility is in the bits above the level; 0 is the kernel
	return text === null || Number(text[1]) >> 3 !== 0 ? undefined : text[2];
}
