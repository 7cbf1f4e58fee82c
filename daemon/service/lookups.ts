// SPDX-License-Identifier: Apache-2.0
/** Lookups of connections, for the HTTP API. */
import type { OnFailure, Tracker } from '../capture/provider.ts';
import { yieldOnce } from '../event_loop.ts';
import type { Connection } from '../model/connection.ts';
import type { ContainerResolver } from '../model/container.ts';
import type { LookupQuery, LookupResult, Retention } from '../model/lookup.ts';
import type { FlushPace } from './flush_pace.ts';
import type { Tasks } from './tasks.ts';

export interface LookupsOptions {
	/** Undefined: no connection is tracked. */
	readonly tracker: Tracker | undefined;
	readonly flushPace: FlushPace;
	readonly containers: ContainerResolver;
	readonly tasks: Tasks;
}

export class Lookups {
	readonly #options: LookupsOptions;

	constructor(options: LookupsOptions) {
		this.#options = options;
	}

	/** find() finds every connection that opened before this call. */
	async refresh(): Promise<void> {
		this.#options.flushPace.want();
		await this.#options.tracker?.refreshLookups(yieldOnce);
	}

	find(query: LookupQuery): LookupResult {
		const onFailure: OnFailure = (step, error) => this.#options.tasks.recordFailure(step, error);
		const containerOf = (connection: Connection) => this.containerOf(connection);
		const found = this.#options.tracker?.lookup(query, containerOf, onFailure);
		return found ?? { connections: [], truncated: false };
	}

	containerOf({ owner, state }: Connection): string | undefined {
		if (owner === undefined) return undefined;
		const { containers } = this.#options;
		return state === 'open' ? containers(owner) : containers.known(owner);
	}

	/** Undefined also if the kernel refuses to say it now: scrapes and the status do without it. */
	retention(): Retention | undefined {
		try {
			return this.#options.tracker?.retention();
		} catch (error) {
			this.#options.tasks.recordFailure('retention', error);
			return undefined;
		}
	}
}
