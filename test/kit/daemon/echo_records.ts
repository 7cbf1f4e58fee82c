// SPDX-License-Identifier: Apache-2.0
/** The records of the lab's echo server, by connection id. */
import type { ConnectionResult, EchoRecord } from '../../../daemon/lab/protocol.ts';

export class EchoRecords {
	readonly #records = new Map<string, EchoRecord>();
	readonly #watchers = new Set<() => void>();

	/** Callback for Lab.echoServer(). */
	readonly onRecords = (records: readonly EchoRecord[]): void => {
		for (const record of records) this.#records.set(record.id, record);
		for (const watch of this.#watchers) watch();
	};

	/** Resolves with the server's record of each connection, by id, once all have ended there. */
	of(results: readonly ConnectionResult[]): Promise<ReadonlyMap<string, EchoRecord>> {
		return new Promise((resolve) => {
			const check = () => {
				const found = results.flatMap(({ id }) => this.#records.get(id) ?? []);
				if (found.length < results.length) return;
				this.#watchers.delete(check);
				resolve(new Map(found.map((record) => [record.id, record])));
			};
			this.#watchers.add(check);
			check();
		});
	}
}
