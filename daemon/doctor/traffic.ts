// SPDX-License-Identifier: Apache-2.0
/** Whether TOA arrives, by the counts of the last minutes, and if not, the likely explanation. */

import type { RecentJson } from '../api/status.ts';
import type { Status } from '../client/status.ts';
import { dropReasons } from '../model/drops.ts';
import { type Check, causedBy, check } from './check.ts';
import { explainMissing, namePeers } from './evidence.ts';
import { deferChecks, listenersWithoutToa, missingOptions } from './listeners.ts';
import { findScarceOptionMemory, type OptionMemory, scarceOptionMemoryAdvice } from './option_memory.ts';
import { withoutOwnHttp } from './own_http.ts';
import {
	type Counts,
	countsOf,
	decided,
	decidedWithoutHealthChecks,
	number,
	span,
	tooManyWithoutClient,
	withClient,
} from './tally.ts';
import { unknownOptionsCheck } from './unknown_options.ts';

const title = 'TOA arrival';

/** `scarce` finds network namespaces whose sockets have too little option memory. */
export function arrivalChecks(all: Status, scarce: () => readonly OptionMemory[] = findScarceOptionMemory): Check[] {
	const status = withoutOwnHttp(all);
	const { recent, total } = status;
	if (recent === null || total === null) return [check('toa', title, 'warn', 'the daemon just started', 'try again')];
	const deferred = deferChecks(status);
	const toa = nameOwnHttp(all, arrival(status, recent, countsOf(total), deferred));
	const cause = toa.state === 'ok' ? undefined : toa.name;
	return [
		toa,
		...unknownOptionsCheck(status),
		...missingOptions(status, cause ?? deferred.find(({ name }) => name === 'deferred_accept')?.name),
		...listenersWithoutToa(recent, cause),
		...deferred,
		...suspiciousOptions(status, recent),
		...tablesAndDrops(status, recent, scarce),
	];
}

/** Names the connections to the daemon's own HTTP, which are not counted. */
function nameOwnHttp({ own_http: own }: Status, toa: Check): Check {
	const opened = own === undefined || own === null ? 0n : countsOf(own.recent).opened;
	if (opened === 0n) return toa;
	const where = own?.listeners.join(', ');
	return { ...toa, found: `${toa.found} (toascope's own HTTP at ${where}, not counted: ${number(opened)})` };
}

function arrival(status: Status, recent: RecentJson, total: Counts, deferred: readonly Check[]): Check {
	const now = countsOf(recent.total);
	if (now.opened === 0n && decided(now) === 0n) return nothingOpened(status, recent, total);
	if (decided(now) === 0n) {
		const found = `no verdict yet on the ${number(now.opened)} connections in ${span(recent)}`;
		const advice = 'a connection gets its verdict with the first data, or when it closes: try again';
		return check('toa', title, 'warn', found, advice);
	}
	if (decidedWithoutHealthChecks(now) === 0n) {
		const found = `no client yet: the ${number(now.healthChecks)} connections in ${span(recent)} are health checks (trusted, without option or data)`;
		return check('toa', title, 'warn', found, 'make a connection through the balancer, and try again');
	}
	const apart = now.healthChecks === 0n ? '' : ` (health checks, not counted: ${number(now.healthChecks)})`;
	const found = `${number(withClient(now))} of ${number(decidedWithoutHealthChecks(now))} connections in ${span(recent)} have a client${apart}`;
	const trust = status.config.values['trust'] as readonly string[];
	if (withClient(now) > 0n && !tooManyWithoutClient(now, trust)) return check('toa', title, 'ok', found);
	const stopped = withClient(now) === 0n && withClient(total) > 0n ? `; before, ${number(withClient(total))} had` : '';
	const { because, advice } = explainMissing(status, now);
	const other = deferred.find(({ name }) => name === 'deferred_accept');
	return causedBy(because ?? other?.name, check('toa', title, 'warn', `${found}${stopped}`, advice));
}

function nothingOpened(status: Status, recent: RecentJson, total: Counts): Check {
	const found = `no connection was opened in ${span(recent)}`;
	if (total.opened > 0n) {
		const advice = `${number(total.opened)} were opened before: has the traffic moved elsewhere? Check the balancer's health checks`;
		return check('toa', title, 'warn', found, advice);
	}
	const ports = status.config.values['listeners.ports'];
	const narrowed = ports === 'all' ? '' : '; is its port in listeners.ports?';
	const elsewhere =
		status.config.values['listeners.netns'] === 'host'
			? '; other network namespaces are not observed (listeners.netns)'
			: '';
	const outside = status.whole_host ? '' : '; sockets outside the cgroup are not observed';
	const advice = `connections older than the daemon are not observed: make a new one${narrowed}${elsewhere}${outside}`;
	return check('toa', title, 'warn', found, advice);
}

/** One finding for each kind of suspicious option, also where most connections are fine. */
function suspiciousOptions(status: Status, { total }: RecentJson): Check[] {
	const finding = (
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
		...finding(
			'untrusted',
			'Untrusted senders',
			'had an option from outside trust',
			'add their networks to trust if they are your balancers; if not, someone forges options',
		),
		...finding(
			'malformed',
			'Malformed options',
			'had a malformed option list',
			'inspect one: tcpdump -vvX -c 20 "tcp[13] & 16 != 0 and (tcp[12] >> 4) > 5"',
		),
		...finding(
			'conflict',
			'Conflicting options',
			'had options with different addresses',
			'the first one is used; if balancers write several, give their profiles a priority or a pick (docs/reference/configuration.md); if not, clients add options of their own (docs/security.md)',
		),
	];
}

/** Tables that drop what does not fit: the key that enlarges each, and the reason of its drops. */
const tables: Readonly<Record<string, { readonly key: string; readonly drop: string }>> = {
	clients: { key: 'clients.capacity', drop: 'clients_full' },
	listeners: { key: 'listeners.max', drop: 'listeners_full' },
};

function tablesAndDrops({ maps }: Status, { drops }: RecentJson, scarce: () => readonly OptionMemory[]): Check[] {
	const full = maps.filter(({ map, entries, capacity }) => map in tables && entries * 10 >= capacity * 9);
	const follows = new Set(full.map(({ map }) => tables[map]?.drop ?? ''));
	const all = dropsCheck(drops, scarce);
	const explained = Object.keys(drops).every((reason) => follows.has(reason) || !dropReasons[reason]?.advice);
	return [causedBy(explained && full.length > 0 ? 'tables' : undefined, all), ...nearlyFull(full)];
}

function dropsCheck(drops: RecentJson['drops'], scarce: () => readonly OptionMemory[]): Check {
	const reasons = Object.entries(drops);
	if (reasons.length === 0) return check('drops', 'Drops', 'ok', 'nothing was dropped');
	const found = reasons.map(([reason, count]) => `${reason} ${number(count)}`).join(', ');
	const advice = [...new Set(reasons.map(([reason]) => adviceOn(reason, scarce)))].filter((each) => each !== '');
	// drops that need no action are not a warning
	if (advice.length === 0) return check('drops', 'Drops', 'ok', found);
	return check('drops', 'Drops', 'warn', found, advice.join('; '));
}

function adviceOn(reason: string, scarce: () => readonly OptionMemory[]): string {
	const found = reason === 'socket_storage' ? scarce() : [];
	return found.length > 0 ? scarceOptionMemoryAdvice(found) : (dropReasons[reason]?.advice ?? '');
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
			`${raise.join(', ')} (requires a restart); what does not fit is counted as "other"`,
		),
	];
}
