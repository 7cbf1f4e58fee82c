// SPDX-License-Identifier: Apache-2.0
/**
 * Counts what open connections did since the last time. One run of the iterator over socket storage reads all of them; where the
 * kernel refuses it, the iterator over TCP sockets reads one network namespace after the other.
 */
import { type LogSink, logLines, tell } from '../log_lines.ts';
import type { NextTurn } from '../model/store.ts';
import { flushProgram } from './load.ts';
import { networkNamespaces } from './namespaces.ts';
import { type BpfObject, type Features, type NativeError, native } from './native.ts';
import type { Reaper } from './reaper.ts';

const nothing = new Uint8Array(0);

export class Flusher {
	readonly program: ReturnType<typeof flushProgram>;
	readonly #bpf: BpfObject;
	readonly #reaper: Reaper;
	readonly #log: LogSink;
	#isRefused = false;

	/** The program must be attached. `reaper` is told of each flush that went to its end. */
	constructor(bpf: BpfObject, features: Features, reaper: Reaper, log: LogSink) {
		this.program = flushProgram(features);
		this.#bpf = bpf;
		this.#reaper = reaper;
		this.#log = log;
	}

	/** Gives the event loop back between two network namespaces. One that fails leaves the others as they are; rejects afterwards. */
	async flush(nextTurn: NextTurn): Promise<void> {
		if (this.program === 'toascope_flush') {
			this.#run();
			return;
		}
		let isFirst = true;
		const failures: unknown[] = [];
		for (const [netns, path] of networkNamespaces()) {
			if (!isFirst) await nextTurn();
			isFirst = false;
			try {
				this.#runIn(netns, path);
			} catch (error) {
				failures.push(error);
			}
		}
		if (failures.length > 0) throw failures[0];
	}

	#run(netns?: number, path?: string): void {
		const beganNs = native().monotonicNs();
		this.#bpf.iterate(this.program, nothing, path);
		this.#reaper.flushed(beganNs, netns);
	}

	#runIn(netns: number, path: string): void {
		try {
			this.#run(netns, path);
		} catch (error) {
			const { code } = error as NativeError;
			// the process that it was found by has ended: the next flush finds another, or the namespace is gone
			if (code === 'ENOENT' || code === 'ESRCH' || code === 'EINVAL') return;
			if (code !== 'EPERM') throw error;
			if (!this.#isRefused) tell(this.#log, logLines.namespacesRefused, { code });
			this.#isRefused = true;
		}
	}
}
