// SPDX-License-Identifier: Apache-2.0
/** Invariants of every snapshot at rest, and of any two that follow each other. */
import { expect } from 'vitest';
import type { ClientSeries } from '../../../daemon/model/series.ts';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import type { Traffic } from '../../../daemon/model/traffic.ts';
import { trafficFields } from '../../../daemon/model/traffic.ts';
import { addTo, emptySum } from './traffic.ts';

/** The series of a client on a listener of kernel.ts. */
export const series = (snapshot: Snapshot, client: string, listener = 'a'): ClientSeries | undefined =>
	[...snapshot.clients].find((one) => one.client === client && one.listener === `${listener}:80`);

/** The clients that have series, without `direct` and `other`. */
export const labels = (snapshot: Snapshot): string[] =>
	[...snapshot.clients].map(({ client }) => client).filter((client) => client !== 'direct' && client !== 'other');

/** Expects clients + direct + other + folded to equal the total, in every field. */
export function expectIdentity(snapshot: Snapshot): void {
	for (const { listener, total, folded } of snapshot.listeners) {
		const sum = emptySum();
		addTo(sum, folded);
		for (const one of snapshot.clients) if (one.listener === listener) addTo(sum, one.traffic);
		expect(sum, `clients + direct + other + folded of ${listener}`).toEqual(total);
	}
}

/** Expects, for each listener, as many open connections in its series as in its counters. */
export function expectGauges(snapshot: Snapshot): void {
	for (const { listener, total } of snapshot.listeners) {
		const own = [...snapshot.clients].filter((one) => one.listener === listener);
		expect(Math.min(...own.map(({ active }) => active)), 'open connections').toBeGreaterThanOrEqual(0);
		const sum = own.reduce((all, { active }) => all + BigInt(active), 0n);
		expect(sum, `open connections of ${listener}`).toEqual(total.opened - total.closed);
	}
}

function expectNoDecrease(what: string, from: Traffic, to: Traffic): void {
	for (const field of trafficFields) expect(to[field], `${what}: ${field}`).toBeGreaterThanOrEqual(from[field]);
}

/**
 * Expects that nothing has decreased, and that the counts of a series that ended are in `folded`.
 */
export function expectMonotonic(before: Snapshot, after: Snapshot): void {
	const [seriesBefore, seriesAfter] = [[...before.clients], [...after.clients]];
	const absorbed = emptySum();
	let gone = 0;
	for (const { listener, sinceNs: began, total, folded } of before.listeners) {
		const now = after.listeners.find((one) => one.listener === listener);
		if (now === undefined) {
			gone++;
			addTo(absorbed, total);
			continue;
		}
		if (now.sinceNs !== undefined) expect(now.sinceNs, `beginning of ${listener}`).toBe(began);
		expectNoDecrease(`total of ${listener}`, total, now.total);
		const ended = emptySum();
		addTo(ended, folded);
		for (const { client, traffic, sinceNs } of seriesBefore.filter((one) => one.listener === listener)) {
			const same = seriesAfter.find((one) => one.client === client && one.listener === listener);
			const lives = same?.sinceNs === sinceNs;
			if (lives) expectNoDecrease(`${client} of ${listener}`, traffic, same.traffic);
			else addTo(ended, traffic);
		}
		expectNoDecrease(`folded of ${listener}, with the series that ended`, ended, now.folded);
	}
	// the counts of a listener that has disappeared are part of `other`
	expect(after.listenersFolded - before.listenersFolded).toBe(BigInt(gone));
	if (gone === 0) return;
	const other = (snapshot: Snapshot) => snapshot.listeners.find(({ listener }) => listener === 'other')?.total;
	addTo(absorbed, other(before) ?? emptySum());
	expectNoDecrease('total of other, with the listeners that were folded', absorbed, other(after) ?? emptySum());
}
