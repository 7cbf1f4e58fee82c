// SPDX-License-Identifier: Apache-2.0
/**
 * The traffic of the last minutes: the totals now less the totals then. It is the basis for finding
 * faults.
 */

import { otherListener } from './listener_rows.ts';
import type { FinalVerdict, ListenerTotals, Segment, Snapshot } from './snapshot.ts';

/** An option that no active profile matches, on connections without TOA from trusted senders. */
export interface UnknownOption {
	readonly kind: number;
	readonly length: number;
	readonly connections: bigint;
}

/** Connections by verdict; those without a verdict yet are only in `opened`. */
export type Tally = Readonly<Record<'opened' | FinalVerdict, bigint>> & {
	/** Part of `none`: the peer is trusted and sent no data, like a balancer's health check. */
	readonly healthChecks: bigint;
	/** Part of `none`: the peer is trusted and sent data, so it should have sent an option. */
	readonly missingOptions: bigint;
	/**
	 * Part of those with a client: it is IPv6 and the listener AF_INET, so `transparent` cannot
	 * show it.
	 */
	readonly hiddenByFamily: bigint;
	/** Options, by the segment that carried them. */
	readonly onSyn: bigint;
	readonly onAck: bigint;
	readonly onData: bigint;
};

export interface ListenerTally extends Tally {
	readonly listener: string;
	/** Connections with a trusted option before the period, since the counters began. */
	readonly hadClientBefore: bigint;
}

export interface RecentTraffic {
	/** Length of the period; shorter just after a start. */
	readonly seconds: number;
	readonly total: Tally;
	/**
	 * Listeners with a connection that was opened or got its verdict in the period, the busiest
	 * first.
	 */
	readonly listeners: readonly ListenerTally[];
	/** By reason; reasons that did not occur are left out. */
	readonly drops: Readonly<Record<string, bigint>>;
	/** The most frequent first. */
	readonly unknownOptions: readonly UnknownOption[];
}

const nothing: Tally = {
	opened: 0n,
	toa: 0n,
	none: 0n,
	malformed: 0n,
	untrusted: 0n,
	conflict: 0n,
	healthChecks: 0n,
	missingOptions: 0n,
	hiddenByFamily: 0n,
	onSyn: 0n,
	onAck: 0n,
	onData: 0n,
};
const fields = Object.keys(nothing) as (keyof Tally)[];

/** The totals at one time. */
interface Sample {
	readonly atMs: number;
	readonly listeners: ReadonlyMap<string, Tally>;
	readonly drops: Readonly<Record<string, bigint>>;
	/** By kind and length. */
	readonly unknown: ReadonlyMap<string, UnknownOption>;
}

const stepMs = 60_000;
const steps = 5;

export class Recent {
	readonly #clock: () => number;
	/** The oldest first; never empty after the first collection. */
	readonly #samples: Sample[] = [];

	/** `clock`: monotonic, in milliseconds. */
	constructor(clock: () => number = () => performance.now()) {
		this.#clock = clock;
	}

	/** Call it after every collection. Keeps a sample once a minute. */
	add(snapshot: Snapshot, unknownOptions: () => readonly UnknownOption[]): void {
		const last = this.#samples.at(-1);
		if (last !== undefined && this.#clock() - last.atMs < stepMs) return;
		this.#samples.push(this.#sample(snapshot, unknownOptions(), last));
		if (this.#samples.length > steps + 1) this.#samples.shift();
	}

	/**
	 * The traffic since a sample that is five to six minutes old, or since the first collection.
	 */
	since(snapshot: Snapshot, unknownOptions: readonly UnknownOption[]): RecentTraffic {
		const now = this.#sample(snapshot, unknownOptions, undefined);
		const before = this.#samples[0] ?? now;
		const listeners = [...now.listeners]
			.map(([listener, tally]) => {
				const old = tallyBefore(listener, before, now);
				return { listener, ...difference(tally, old), hadClientBefore: old.toa + old.conflict };
			})
			.filter((tally) => fields.some((field) => tally[field] > 0n))
			.sort((a, b) => descending(a.opened, b.opened));
		const drops = Object.entries(now.drops)
			.map(([reason, count]) => [reason, count - (before.drops[reason] ?? 0n)] as const)
			.filter(([, count]) => count > 0n);
		const unknown = [...now.unknown]
			.map(([name, option]) => ({
				...option,
				connections: option.connections - (before.unknown.get(name)?.connections ?? 0n),
			}))
			.filter(({ connections }) => connections > 0n)
			.sort((a, b) => descending(a.connections, b.connections));
		return {
			seconds: Math.round((now.atMs - before.atMs) / 1000),
			total: sumOf(listeners),
			listeners,
			drops: Object.fromEntries(drops),
			unknownOptions: unknown,
		};
	}

	#sample({ listeners, drops }: Snapshot, unknown: readonly UnknownOption[], last: Sample | undefined): Sample {
		const tallies = new Map<string, Tally>();
		for (const totals of listeners) {
			const tally = tallyOf(totals);
			const before = last?.listeners.get(totals.listener);
			// samples share an unchanged tally, so an idle listener uses no more memory
			tallies.set(totals.listener, before !== undefined && isSame(tally, before) ? before : tally);
		}
		const byName = new Map(unknown.map((option) => [`${option.kind}/${option.length}`, option]));
		return { atMs: this.#clock(), listeners: tallies, drops, unknown: byName };
	}
}

/**
 * Whether a listener has been folded since: it is gone or began again at 0, and `other` has its
 * counts.
 */
function wasFolded(listener: string, before: Tally, { listeners }: Sample): boolean {
	return listener !== otherListener && (listeners.get(listener)?.opened ?? -1n) < before.opened;
}

/**
 * The part of a listener's totals now that was already counted at the sample `before`. For `other`
 * it includes listeners that were folded since.
 */
function tallyBefore(listener: string, before: Sample, now: Sample): Tally {
	const old = before.listeners.get(listener) ?? nothing;
	if (listener !== otherListener) return wasFolded(listener, old, now) ? nothing : old;
	return [...before.listeners]
		.filter(([name, tally]) => wasFolded(name, tally, now))
		.reduce((sum, [, tally]) => addUp(sum, tally), old);
}

/** The totals since the counters began, over all listeners. */
export function totalOf({ listeners }: Pick<Snapshot, 'listeners'>): Tally {
	return sumOf(listeners.map(tallyOf));
}

export function sumOf(tallies: readonly Tally[]): Tally {
	return tallies.reduce(addUp, nothing);
}

function tallyOf({ total, handshakes, withoutOption, hiddenByFamily, options }: ListenerTotals): Tally {
	const sum = (counts: readonly { readonly count: bigint }[]) => counts.reduce((all, { count }) => all + count, 0n);
	const trusted = withoutOption.filter((each) => each.trusted);
	const on = (segment: Segment) => sum(options.filter((each) => each.segment === segment));
	return {
		opened: total.opened,
		...handshakes,
		healthChecks: sum(trusted.filter(({ data }) => !data)),
		missingOptions: sum(trusted.filter(({ data }) => data)),
		hiddenByFamily,
		onSyn: on('syn'),
		onAck: on('ack'),
		onData: on('data'),
	};
}

function combine(a: Tally, b: Tally, of: (a: bigint, b: bigint) => bigint): Tally {
	return Object.fromEntries(fields.map((field) => [field, of(a[field], b[field])])) as Tally;
}

const addUp = (a: Tally, b: Tally): Tally => combine(a, b, (x, y) => x + y);
const difference = (a: Tally, b: Tally): Tally => combine(a, b, (x, y) => x - y);
const isSame = (a: Tally, b: Tally): boolean => fields.every((field) => a[field] === b[field]);
const descending = (a: bigint, b: bigint): number => (a < b ? 1 : Number(a > b) * -1);
