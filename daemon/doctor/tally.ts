// SPDX-License-Identifier: Apache-2.0
/** What was counted, as numbers, and when too much of it has no client. */
import type { RecentJson, TallyJson } from './status.ts';

export interface Counts {
	readonly opened: bigint;
	readonly toa: bigint;
	readonly none: bigint;
	readonly malformed: bigint;
	readonly untrusted: bigint;
	readonly conflict: bigint;
	/** Of `none`: trusted and without data. */
	readonly healthChecks: bigint;
	/** Of `none`: trusted and with data. */
	readonly lost: bigint;
	readonly hiddenByFamily: bigint;
	readonly onSyn: bigint;
	readonly onAck: bigint;
	readonly onData: bigint;
}

/** A daemon of an older version does not say all of it. */
export function countsOf(tally: TallyJson): Counts {
	const of = (field: keyof TallyJson) => BigInt((tally as Partial<TallyJson>)[field] ?? 0);
	return {
		opened: of('opened'),
		toa: of('toa'),
		none: of('none'),
		malformed: of('malformed'),
		untrusted: of('untrusted'),
		conflict: of('conflict'),
		healthChecks: of('health_checks'),
		lost: of('lost_options'),
		hiddenByFamily: of('hidden_by_family'),
		onSyn: of('options_syn'),
		onAck: of('options_ack'),
		onData: of('options_data'),
	};
}

export const number = (value: string | bigint | number): string => BigInt(value).toLocaleString('en');

/** Connections with a client. */
export const withClient = ({ toa, conflict }: Counts): bigint => toa + conflict;

/** Connections with a verdict. */
export const judged = (counts: Counts): bigint =>
	withClient(counts) + counts.none + counts.untrusted + counts.malformed;

/** The same without health checks. */
export const ofClients = (counts: Counts): bigint => judged(counts) - counts.healthChecks;

/** Connections that should have a client, and have none. */
export const missing = ({ lost, untrusted, malformed }: Counts): bigint => lost + untrusted + malformed;

/**
 * Is that too much? One in twenty is, where `trust` names the balancers; where it is empty, nobody knows who is one, and clients
 * that come directly count as well: then it is half.
 */
export function tooManyMissing(counts: Counts, trust: readonly string[]): boolean {
	const part = trust.length === 0 ? 2n : 20n;
	return missing(counts) > 0n && missing(counts) * part >= missing(counts) + withClient(counts);
}

/** `the last 5 min` */
export function span({ seconds }: RecentJson): string {
	return seconds < 90 ? `the last ${seconds} s` : `the last ${Math.round(seconds / 60)} min`;
}
