// SPDX-License-Identifier: Apache-2.0
/** Does TOA arrive? What the counters of the daemon say, and what fits that. */
import { type Check, check } from './check.ts';

const results = ['toa', 'conflict', 'none', 'untrusted', 'malformed'] as const;

export interface Counts {
	/** Connections by the verdict on them, over all listeners. */
	readonly handshakes: Readonly<Record<(typeof results)[number], bigint>>;
	/** Connections opened; those without a verdict yet are among them. */
	readonly opened: bigint;
	/** By reason; reasons that did not happen are left out. */
	readonly drops: Readonly<Record<string, bigint>>;
}

const title = 'TOA arrives';

/** Reads the Prometheus text of `/metrics`. */
export function readCounts(text: string): Counts {
	const handshakes = { toa: 0n, conflict: 0n, none: 0n, untrusted: 0n, malformed: 0n };
	const drops: Record<string, bigint> = {};
	let opened = 0n;
	for (const [, name, labels = '', value = '0'] of text.matchAll(
		/^toascope_(handshakes|connections_opened|drops)_total(?:\{(.*)\})? (\d+)$/gm,
	)) {
		const count = BigInt(value);
		const which = /(?:result|reason)="(\w+)"/.exec(labels)?.[1] ?? '';
		if (name === 'connections_opened') opened += count;
		else if (name === 'drops') {
			if (count > 0n) drops[which] = count;
		} else if (which in handshakes) handshakes[which as keyof typeof handshakes] += count;
	}
	return { handshakes, opened, drops };
}

/** `since`: when the daemon started; `profiles`: names of those that it looks for. */
export function arrivalChecks(counts: Counts, since: string, profiles: readonly string[]): Check[] {
	return [arrival(counts, since, profiles), ...doubts(counts), losses(counts)];
}

function arrival({ handshakes, opened }: Counts, since: string, profiles: readonly string[]): Check {
	const { toa, conflict, none, untrusted, malformed } = handshakes;
	const judged = toa + conflict + none + untrusted + malformed;
	if (opened === 0n) {
		const advice = 'connections from before are not counted: make a new one; see listeners.ports and cgroup';
		return check('toa', title, 'warn', `no connection was opened since ${since}`, advice);
	}
	if (judged === 0n) {
		const advice = 'the verdict falls with the first data, or at the close';
		return check('toa', title, 'warn', `no verdict yet on the ${opened} connections opened`, advice);
	}
	const believed = toa + conflict;
	const found = `${believed} of ${judged} connections have their client`;
	if (believed > 0n) return check('toa', title, 'ok', found);
	return check('toa', title, 'warn', found, explanation(handshakes, profiles));
}

/** What fits the evidence when nothing was believed. */
function explanation({ none, untrusted, malformed }: Counts['handshakes'], profiles: readonly string[]): string {
	if (untrusted >= none && untrusted >= malformed) return 'options come, from senders outside of trust: see below';
	if (malformed > none) return 'options come, but broken: see below';
	return `no option of ${profiles.join(', ')} was seen: clients connect directly, the balancer does not send TOA, or another kind (see profiles)`;
}

/** Each in its own line, also where most is well. */
function doubts({ handshakes: { untrusted, malformed, conflict } }: Counts): Check[] {
	const of = (name: string, about: string, count: bigint, found: string, advice: string): Check[] =>
		count === 0n ? [] : [check(name, about, 'warn', `${count} ${found}`, advice)];
	return [
		...of(
			'untrusted',
			'Untrusted senders',
			untrusted,
			'connections had an option from outside of trust',
			'add the networks of your balancers to trust; if these are no balancers, somebody forges',
		),
		...of(
			'malformed',
			'Malformed options',
			malformed,
			'connections had an option list that cannot be read',
			'capture one and look: tcpdump -vv "tcp[tcpflags] & tcp-ack != 0"',
		),
		...of(
			'conflict',
			'Conflicting options',
			conflict,
			'connections had options with different addresses',
			'the first counts; the balancer may pass on what a client sent',
		),
	];
}

function losses({ drops }: Counts): Check {
	const text = Object.entries(drops).map(([reason, count]) => `${reason} ${count}`);
	return text.length === 0
		? check('drops', 'Losses', 'ok', 'no drop is counted')
		: check('drops', 'Losses', 'warn', text.join(', '), 'docs/reference/metrics.md, toascope_drops_total');
}
