// SPDX-License-Identifier: Apache-2.0
/** The counts as numbers, and when too many connections have no client. */
import type { RecentJson, TallyJson } from '../api/status.ts';

export interface Counts {
	readonly opened: bigint;
	readonly toa: bigint;
	readonly none: bigint;
	readonly malformed: bigint;
	readonly untrusted: bigint;
	readonly conflict: bigint;
	/** Part of `none`: trusted, without data. */
	readonly healthChecks: bigint;
	/** Part of `none`: trusted, with data. */
	readonly lost: bigint;
	readonly hiddenByFamily: bigint;
	readonly onSyn: bigint;
	readonly onAck: bigint;
	readonly onData: bigint;
}

/** An older daemon does not send all fields; a missing one counts as 0. */
export function countsOf(tally: TallyJson): Counts {
	const count = (field: keyof TallyJson) => BigInt((tally as Partial<TallyJson>)[field] ?? 0);
	return {
		opened: count('opened'),
		toa: count('toa'),
		none: count('none'),
		malformed: count('malformed'),
		untrusted: count('untrusted'),
		conflict: count('conflict'),
		healthChecks: count('health_checks'),
		lost: count('lost_options'),
		hiddenByFamily: count('hidden_by_family'),
		onSyn: count('options_syn'),
		onAck: count('options_ack'),
		onData: count('options_data'),
	};
}

export const number = (value: string | bigint | number): string => BigInt(value).toLocaleString('en');

/** Connections with a client. */
export const withClient = ({ toa, conflict }: Counts): bigint => toa + conflict;

/** Connections with a verdict. */
export const decided = (counts: Counts): bigint =>
	withClient(counts) + counts.none + counts.untrusted + counts.malformed;

/** Connections with a verdict, without health checks. */
export const decidedWithoutHealthChecks = (counts: Counts): bigint => decided(counts) - counts.healthChecks;

/** Connections that should have a client but do not. */
export const withoutClient = ({ lost, untrusted, malformed }: Counts): bigint => lost + untrusted + malformed;

/**
 * Whether too many connections have no client: one in twenty where `trust` names the balancers.
 * Where it is empty, balancers are unknown and clients that connect directly count as well, so the
 * limit is half.
 */
export function tooManyWithoutClient(counts: Counts, trust: readonly string[]): boolean {
	const divisor = trust.length === 0 ? 2n : 20n;
	return withoutClient(counts) > 0n && withoutClient(counts) * divisor >= withoutClient(counts) + withClient(counts);
}

/** `the last 5 min` */
export function span({ seconds }: RecentJson): string {
	return seconds < 90 ? `the last ${seconds} s` : `the last ${Math.round(seconds / 60)} min`;
}
