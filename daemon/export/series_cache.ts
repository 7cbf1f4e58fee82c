// SPDX-License-Identifier: Apache-2.0
/** Caches what an exporter makes of the identity of a series, which does not change while it exists. */
import type { Series } from '../model/series.ts';

export class SeriesCache<T> {
	readonly #make: (series: Series) => T;
	readonly #made = new Map<Series, T>();

	constructor(make: (series: Series) => T) {
		this.#make = make;
	}

	/** Clears the cache when it has more than twice as many entries as there are live series. */
	prune(liveSeries: number): void {
		if (this.#made.size > 2 * liveSeries) this.#made.clear();
	}

	of(series: Series): T {
		let made = this.#made.get(series);
		if (made === undefined) {
			made = this.#make(series);
			this.#made.set(series, made);
		}
		return made;
	}
}
