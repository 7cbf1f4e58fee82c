// SPDX-License-Identifier: Apache-2.0
/** Does TOA arrive? What the last minutes say, and when it does not: what fits the evidence. */
import { dropReasons } from '../model/drops.ts';
import { type Check, check } from './check.ts';
import { explainAbsence, namePeers } from './evidence.ts';
import type { RecentJson, Status, TallyJson } from './status.ts';

const title = 'TOA arrives';

export function arrivalChecks(status: Status): Check[] {
	const { recent, total } = status;
	if (recent === null || total === null) return [check('toa', title, 'warn', 'the daemon has just begun', 'ask again')];
	return [
		arrival(status, recent, total),
		...silentListeners(recent),
		...doubts(status, recent),
		losses(recent),
		...nearlyFull(status),
	];
}

const number = (text: string | bigint | number): string => BigInt(text).toLocaleString('en');

/** Connections with a client. */
const believed = ({ toa, conflict }: TallyJson): bigint => BigInt(toa) + BigInt(conflict);

function judged(tally: TallyJson): bigint {
	return believed(tally) + BigInt(tally.none) + BigInt(tally.untrusted) + BigInt(tally.malformed);
}

function span({ seconds }: RecentJson): string {
	return seconds < 90 ? `the last ${seconds} s` : `the last ${Math.round(seconds / 60)} min`;
}

function arrival(status: Status, recent: RecentJson, total: TallyJson): Check {
	const { total: now } = recent;
	if (BigInt(now.opened) === 0n && judged(now) === 0n) return nothingOpened(status, recent, total);
	if (judged(now) === 0n) {
		const advice = 'the verdict falls with the first data, or at the close: ask again';
		return check(
			'toa',
			title,
			'warn',
			`no verdict yet on the ${number(now.opened)} connections of ${span(recent)}`,
			advice,
		);
	}
	const found = `${number(believed(now))} of ${number(judged(now))} connections of ${span(recent)} have their client`;
	if (believed(now) > 0n) return check('toa', title, 'ok', found);
	const stopped = believed(total) > 0n ? `; before, ${number(believed(total))} had` : '';
	return check('toa', title, 'warn', `${found}${stopped}`, explainAbsence(status, now));
}

function nothingOpened(status: Status, recent: RecentJson, total: TallyJson): Check {
	const found = `no connection was opened in ${span(recent)}`;
	if (BigInt(total.opened) > 0n) {
		const advice = `${number(total.opened)} were before: has the traffic gone elsewhere? The balancer's health checks tell`;
		return check('toa', title, 'warn', found, advice);
	}
	const ports = status.config.values['listeners.ports'];
	const narrowed = ports === 'all' ? '' : '; is its port in listeners.ports?';
	const elsewhere =
		status.config.values['listeners.netns'] === 'host'
			? '; other network namespaces are not seen (listeners.netns)'
			: '';
	const outside = status.whole_host ? '' : '; sockets outside of the cgroup are not seen';
	const advice = `connections from before the start are not seen: make a new one${narrowed}${elsewhere}${outside}`;
	return check('toa', title, 'warn', found, advice);
}

/** A listener that had TOA and has none any more, while another may go on. */
function silentListeners({ listeners }: RecentJson): Check[] {
	const silent = listeners.filter((each) => {
		return BigInt(each.believed_before) > 0n && judged(each) > 0n && believed(each) === 0n;
	});
	if (silent.length === 0) return [];
	const names = silent
		.slice(0, 3)
		.map(({ listener, ...tally }) => `${listener} (0 of ${number(judged(tally as TallyJson))})`);
	const more = silent.length > 3 ? ` and ${silent.length - 3} more` : '';
	const advice = 'it had before: was the balancer of this listener changed?';
	return [check('silent_listeners', 'Listeners gone silent', 'warn', `${names.join(', ')}${more}`, advice)];
}

/** Each in its own line, also where most is well. */
function doubts(status: Status, { total }: RecentJson): Check[] {
	const of = (
		verdict: 'untrusted' | 'malformed' | 'conflict',
		about: string,
		found: string,
		advice: string,
	): Check[] => {
		const count = BigInt(total[verdict]);
		if (count === 0n) return [];
		const from = namePeers(status.peers.busiest.filter((peer) => peer.verdict === verdict));
		return [
			check(
				verdict,
				about,
				'warn',
				`${number(count)} ${count === 1n ? 'connection' : 'connections'} ${found}${from === '' ? '' : `: from ${from}`}`,
				advice,
			),
		];
	};
	return [
		...of(
			'untrusted',
			'Untrusted senders',
			'had an option from outside of trust',
			'add their networks to trust if they are your balancers; if not, somebody forges',
		),
		...of(
			'malformed',
			'Malformed options',
			'had an option list that cannot be read',
			'look at one: tcpdump -vvX -c 20 "tcp[13] & 16 != 0 and (tcp[12] >> 4) > 5"',
		),
		...of(
			'conflict',
			'Conflicting options',
			'had options with different addresses',
			'the first counts; the balancer passes on what clients send (docs/security.md)',
		),
	];
}

function losses({ drops }: RecentJson): Check {
	const reasons = Object.entries(drops);
	if (reasons.length === 0) return check('drops', 'Losses', 'ok', 'nothing was dropped');
	const found = reasons.map(([reason, count]) => `${reason} ${number(count)}`).join(', ');
	const advice = [...new Set(reasons.map(([reason]) => dropReasons[reason]?.advice ?? ''))].filter(
		(each) => each !== '',
	);
	// what asks for nothing is no warning
	if (advice.length === 0) return check('drops', 'Losses', 'ok', found);
	return check('drops', 'Losses', 'warn', found, advice.join('; '));
}

/** Tables that cannot do without room, and the key that gives them more. */
const tables: Readonly<Record<string, string>> = { clients: 'clients.capacity', listeners: 'listeners.max' };

function nearlyFull({ maps }: Status): Check[] {
	const full = maps.filter(({ map, entries, capacity }) => map in tables && entries * 10 >= capacity * 9);
	if (full.length === 0) return [];
	const found = full.map(({ map, entries, capacity }) => `${map}: ${number(entries)} of ${number(capacity)}`);
	const raise = full.map(({ map }) => `raise ${tables[map]}`);
	return [
		check(
			'tables',
			'Tables nearly full',
			'warn',
			found.join(', '),
			`${raise.join(', ')} (a restart); what finds no room is "other"`,
		),
	];
}
