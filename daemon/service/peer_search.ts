// SPDX-License-Identifier: Apache-2.0
/** The search for the busiest peers, which reads the whole table of connections: not once for everyone who asks. */
import { setImmediate as immediate } from 'node:timers/promises';
import type { Provider } from '../capture/provider.ts';
import type { Peers } from '../model/peers.ts';
import { peersMs } from './cadence.ts';
import type { Tasks } from './tasks.ts';

export class PeerSearch {
	readonly #provider: Provider;
	readonly #tasks: Tasks;
	#latest: { readonly found: Promise<Peers>; untilMs: number } | undefined;
	#ended = false;

	constructor(provider: Provider, tasks: Tasks) {
		this.#provider = provider;
		this.#tasks = tasks;
	}

	/** One search at a time and in `peersMs`, however many ask. Undefined where the kernel refuses it, or after end(). */
	async find(): Promise<Peers | undefined> {
		try {
			return await this.#search();
		} catch (error) {
			if (!this.#ended) this.#tasks.failed('peers', error);
			return undefined;
		}
	}

	#search(): Promise<Peers> {
		if (this.#latest !== undefined && performance.now() < this.#latest.untilMs) return this.#latest.found;
		const found = this.#provider.peers(async () => {
			await immediate();
			if (this.#ended) throw new Error('the daemon is stopping');
		});
		const latest = { found, untilMs: Number.POSITIVE_INFINITY };
		this.#latest = latest;
		// counted from its end: on a busy machine it takes longer than that, and a second one beside it would make it worse
		const begun = performance.now();
		const ended = () => {
			latest.untilMs = Math.max(begun + peersMs, performance.now() + (performance.now() - begun));
		};
		void found.then(ended, ended);
		return found;
	}

	/** Ends one that is under way at its next turn. */
	end(): void {
		this.#ended = true;
	}
}
