// SPDX-License-Identifier: Apache-2.0
/** Does TOA arrive? What the last minutes say, and when it does not: what fits the evidence. */
import { dropReasons } from '../model/drops.ts';
import { type Check, check, dueTo } from './check.ts';
import { explainMissing, namePeers } from './evidence.ts';
import { deferChecks, lostOptions, silentListeners } from './listeners.ts';
import { describeScarce, findScarceOptionMemory, type OptionMemory } from './option_memory.ts';
import { withoutOwnHttp } from './own_http.ts';
import type { RecentJson, Status } from './status.ts';
import { type Counts, countsOf, judged, number, ofClients, span, tooManyMissing, withClient } from './tally.ts';
import { unknownOptionsCheck } from './unknown_options.ts';

const title = 'TOA arrives';

/** `scarce` finds network namespaces whose sockets have too little option memory. */
export function arrivalChecks(all: Status, scarce: () => readonly OptionMemory[] = findScarceOptionMemory): Check[] {
	const status = withoutOwnHttp(all);
	const { recent, total } = status;
	if (recent === null || total === null) return [check('toa', title, 'warn', 'the daemon has just begun', 'ask again')];
	const deferred = deferChecks(status);
	const toa = besides(all, arrival(status, recent, countsOf(total), deferred));
	const cause = toa.state === 'ok' ? undefined : toa.name;
	return [
		toa,
		...unknownOptionsCheck(status),
		...lostOptions(status, cause ?? deferred.find(({ name }) => name === 'deferred_accept')?.name),
		...silentListeners(recent, cause),
		...deferred,
		...doubts(status, recent),
		...tablesAndLosses(status, recent, scarce),
	];
}

/** What is left out is named. */
function besides({ own_http: own }: Status, toa: Check): Check {
	const opened = own === undefined || own === null ? 0n : countsOf(own.recent).opened;
	if (opened === 0n) return toa;
	return { ...toa, found: `${toa.found} (to ${own?.listeners.join(', ')}, toascope itself, apart: ${number(opened)})` };
}

function arrival(status: Status, recent: RecentJson, total: Counts, deferred: readonly Check[]): Check {
	const now = countsOf(recent.total);
	if (now.opened === 0n && judged(now) === 0n) return nothingOpened(status, recent, total);
	if (judged(now) === 0n) {
		const found = `no verdict yet on the ${number(now.opened)} connections of ${span(recent)}`;
		const advice = 'the verdict falls with the first data, or at the close: ask again';
		return check('toa', title, 'warn', found, advice);
	}
	if (ofClients(now) === 0n) {
		const found = `no client yet: the ${number(now.healthChecks)} connections of ${span(recent)} are health checks (trusted, without option and data)`;
		return check('toa', title, 'warn', found, 'make a connection through the balancer, and ask again');
	}
	const apart = now.healthChecks === 0n ? '' : ` (health checks apart: ${number(now.healthChecks)})`;
	const found = `${number(withClient(now))} of ${number(ofClients(now))} connections of ${span(recent)} have their client${apart}`;
	const trust = status.config.values['trust'] as readonly string[];
	if (withClient(now) > 0n && !tooManyMissing(now, trust)) return check('toa', title, 'ok', found);
	const stopped = withClient(now) === 0n && withClient(total) > 0n ? `; before, ${number(withClient(total))} had` : '';
	const { because, advice } = explainMissing(status, now);
	const other = deferred.find(({ name }) => name === 'deferred_accept');
	return dueTo(because ?? other?.name, check('toa', title, 'warn', `${found}${stopped}`, advice));
}

function nothingOpened(status: Status, recent: RecentJson, total: Counts): Check {
	const found = `no connection was opened in ${span(recent)}`;
	if (total.opened > 0n) {
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
			'the first counts; if balancers write several, give their profiles a priority or a pick (docs/reference/configuration.md); if not, clients put theirs beside them (docs/security.md)',
		),
	];
}

/** Tables that cannot do without room, the key that gives them more, and what is dropped where they are full. */
const tables: Readonly<Record<string, { readonly key: string; readonly drop: string }>> = {
	clients: { key: 'clients.capacity', drop: 'clients_full' },
	listeners: { key: 'listeners.max', drop: 'listeners_full' },
};

function tablesAndLosses({ maps }: Status, { drops }: RecentJson, scarce: () => readonly OptionMemory[]): Check[] {
	const full = maps.filter(({ map, entries, capacity }) => map in tables && entries * 10 >= capacity * 9);
	const follows = new Set(full.map(({ map }) => tables[map]?.drop ?? ''));
	const all = losses(drops, scarce);
	const explained = Object.keys(drops).every((reason) => follows.has(reason) || !dropReasons[reason]?.advice);
	return [dueTo(explained && full.length > 0 ? 'tables' : undefined, all), ...nearlyFull(full)];
}

function losses(drops: RecentJson['drops'], scarce: () => readonly OptionMemory[]): Check {
	const reasons = Object.entries(drops);
	if (reasons.length === 0) return check('drops', 'Losses', 'ok', 'nothing was dropped');
	const found = reasons.map(([reason, count]) => `${reason} ${number(count)}`).join(', ');
	const advice = [...new Set(reasons.map(([reason]) => adviceOn(reason, scarce)))].filter((each) => each !== '');
	// what asks for nothing is no warning
	if (advice.length === 0) return check('drops', 'Losses', 'ok', found);
	return check('drops', 'Losses', 'warn', found, advice.join('; '));
}

function adviceOn(reason: string, scarce: () => readonly OptionMemory[]): string {
	const found = reason === 'socket_storage' ? scarce() : [];
	return found.length > 0 ? describeScarce(found) : (dropReasons[reason]?.advice ?? '');
}

function nearlyFull(full: Status['maps']): Check[] {
	if (full.length === 0) return [];
	const found = full.map(({ map, entries, capacity }) => `${map}: ${number(entries)} of ${number(capacity)}`);
	const raise = full.map(({ map }) => `raise ${tables[map]?.key}`);
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
