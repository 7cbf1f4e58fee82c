// SPDX-License-Identifier: Apache-2.0
/** What the last minutes brought: the totals as they stood then, against those of now. Whoever looks for a fault asks this. */
import type { ListenerTotals, Result, Segment, Snapshot } from './snapshot.ts';
import { otherListener } from './store.ts';

/** An option that no active profile takes, on connections without TOA from trusted senders. */
export interface UnknownOption {
	readonly kind: number;
	readonly length: number;
	readonly connections: bigint;
}

/** Connections, by the verdict on them; those without one yet are in `opened` alone. */
export type Tally = Readonly<Record<'opened' | Result, bigint>> & {
	/** Of `none`: the peer is trusted and sent no data, as a balancer's health check. */
	readonly healthChecks: bigint;
	/** Of `none`: the peer is trusted and sent data, so it should have sent an option. */
	readonly lost: bigint;
	/** Of those with a client: it is IPv6, and the listener AF_INET, so that `transparent` cannot show it. */
	readonly hiddenByFamily: bigint;
	/** Options, by the segment that carried them. */
	readonly onSyn: bigint;
	readonly onAck: bigint;
	readonly onData: bigint;
};

export interface ListenerTally extends Tally {
	readonly listener: string;
	/** Connections with a believed option before that time, since the counters began. */
	readonly believedBefore: bigint;
}

export interface RecentTraffic {
	/** How far it goes back; less than it could just after a start. */
	readonly seconds: number;
	readonly total: Tally;
	/** Those on which a connection was opened or judged, the busiest first. */
	readonly listeners: readonly ListenerTally[];
	/** By reason; reasons that did not happen are left out. */
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
	lost: 0n,
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
	/** The oldest first; never empty after the first look. */
	readonly #samples: Sample[] = [];

	/** `clock`: milliseconds that only grow. */
	constructor(clock: () => number = () => performance.now()) {
		this.#clock = clock;
	}

	/** After every look. Takes note once a minute. */
	note(snapshot: Snapshot, unknownOptions: () => readonly UnknownOption[]): void {
		const last = this.#samples.at(-1);
		if (last !== undefined && this.#clock() - last.atMs < stepMs) return;
		this.#samples.push(this.#take(snapshot, unknownOptions(), last));
		if (this.#samples.length > steps + 1) this.#samples.shift();
	}

	/** From five to six minutes ago, or from the first look, until now. */
	since(snapshot: Snapshot, unknownOptions: readonly UnknownOption[]): RecentTraffic {
		const now = this.#take(snapshot, unknownOptions, undefined);
		const before = this.#samples[0] ?? now;
		const listeners = [...now.listeners]
			.map(([listener, tally]) => {
				const old = tallyBefore(listener, before, now);
				return { listener, ...difference(tally, old), believedBefore: old.toa + old.conflict };
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

	#take({ listeners, drops }: Snapshot, unknown: readonly UnknownOption[], last: Sample | undefined): Sample {
		const tallies = new Map<string, Tally>();
		for (const totals of listeners) {
			const tally = tallyOf(totals);
			const before = last?.listeners.get(totals.listener);
			// an idle listener costs no memory at each step
			tallies.set(totals.listener, before !== undefined && isSame(tally, before) ? before : tally);
		}
		const byName = new Map(unknown.map((option) => [`${option.kind}/${option.length}`, option]));
		return { atMs: this.#clock(), listeners: tallies, drops, unknown: byName };
	}
}

/** It was folded: `other` has its counts, and began with them or has gone on since. */
function wasFolded(listener: string, before: Tally, { listeners }: Sample): boolean {
	return listener !== otherListener && (listeners.get(listener)?.opened ?? -1n) < before.opened;
}

/** What a listener had counted then of what it shows now. */
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
		lost: sum(trusted.filter(({ data }) => data)),
		hiddenByFamily,
		onSyn: on('syn'),
		onAck: on('ack'),
		onData: on('data'),
	};
}

function map2(a: Tally, b: Tally, of: (a: bigint, b: bigint) => bigint): Tally {
	return Object.fromEntries(fields.map((field) => [field, of(a[field], b[field])])) as Tally;
}

const addUp = (a: Tally, b: Tally): Tally => map2(a, b, (x, y) => x + y);
const difference = (a: Tally, b: Tally): Tally => map2(a, b, (x, y) => x - y);
const isSame = (a: Tally, b: Tally): boolean => fields.every((field) => a[field] === b[field]);
const descending = (a: bigint, b: bigint): number => (a < b ? 1 : Number(a > b) * -1);
