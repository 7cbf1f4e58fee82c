// SPDX-License-Identifier: Apache-2.0
/** Findings by listener: whether TOA stopped, options are missing, or it should wait for data. */

import type { ListeningJson, RecentJson } from '../api/status.ts';
import type { Status } from '../client/status.ts';
import { includesPort } from '../config/ports.ts';
import { type Check, causedBy, check } from './check.ts';
import type { Values } from './configuration.ts';
import {
	type Counts,
	countsOf,
	decidedWithoutHealthChecks,
	number,
	tooManyWithoutClient,
	withClient,
	withoutClient,
} from './tally.ts';

type ListenerRow = RecentJson['listeners'][number];

const shownMax = 3;

/** `A (x), B (y) and 2 more` */
function listed(rows: readonly ListenerRow[], what: (counts: Counts) => string): string {
	const names = rows.slice(0, shownMax).map((row) => `${row.listener} (${what(countsOf(row))})`);
	const more = rows.length > shownMax ? ` and ${rows.length - shownMax} more` : '';
	return `${names.join(', ')}${more}`;
}

/** Listeners that had TOA and no longer do. `cause`: the finding that explains it, if any. */
export function listenersWithoutToa({ listeners }: RecentJson, cause: string | undefined): Check[] {
	const silent = listeners.filter((row) => {
		const counts = countsOf(row);
		return BigInt(row.had_client_before) > 0n && decidedWithoutHealthChecks(counts) > 0n && withClient(counts) === 0n;
	});
	if (silent.length === 0) return [];
	const found = listed(silent, (counts) => `0 of ${number(decidedWithoutHealthChecks(counts))}`);
	const advice = 'TOA arrived there before: was the balancer of this listener changed?';
	return [causedBy(cause, check('silent_listeners', 'Listeners without TOA', 'warn', found, advice))];
}

/** Listeners on which too many connections of trusted peers have no option. */
function lackingOptions({ recent, config }: Status): readonly ListenerRow[] {
	const trust = config.values['trust'] as readonly string[];
	return (recent?.listeners ?? []).filter((row) => {
		const counts = countsOf(row);
		return counts.lost > 0n && tooManyWithoutClient(counts, trust);
	});
}

/** By listener, because the total can hide one such listener among others that are fine. */
export function missingOptions(status: Status, cause: string | undefined): Check[] {
	const rows = lackingOptions(status);
	if (rows.length === 0) return [];
	const found = `connections without the option that their peers should have sent: ${listed(rows, (counts) => `${number(counts.lost)} of ${number(withoutClient(counts) + withClient(counts))}`)}`;
	const advice =
		'is TOA on for these listeners in the balancer? Its health checks are not counted where they send no data';
	return [causedBy(cause, check('lost_options', 'Options missing', 'warn', found, advice))];
}

/**
 * An option on the first data arrives after accept() has returned, unless the kernel waits for data
 * (TCP_DEFER_ACCEPT). Where it does, it drops the bare ACK, with an option sent only there.
 */
export function deferChecks(status: Status): Check[] {
	const { recent, config, peers } = status;
	const listening = peers.listening ?? [];
	const rowsWhere = (matches: (counts: Counts, socket: ListeningJson) => boolean) =>
		(recent?.listeners ?? []).filter((row) => {
			const socket = socketOf(row.listener, listening);
			return socket !== undefined && matches(countsOf(row), socket);
		});
	const late = rowsWhere(({ onSyn, onAck, onData }, { local, defers_accept: defers }) => {
		return !defers && onData > 0n && onData > onSyn + onAck && isTransparent(config.values, portOf(local));
	});
	const lacking = new Set(lackingOptions(status));
	const ackDropped = rowsWhere((_counts, { defers_accept: defers }) => defers).filter((row) => lacking.has(row));
	return [
		...(late.length === 0
			? []
			: [
					check(
						'accept_before_data',
						'Accepted before the option',
						'warn',
						`options arrive with the first data, after accept() has returned the balancer's address: ${listed(late, ({ onData }) => number(onData))}`,
						'let the listener wait for data (TCP_DEFER_ACCEPT; nginx: listen ... deferred), or let the application call getpeername() when it reads (docs/transparent.md)',
					),
				]),
		...(ackDropped.length === 0
			? []
			: [
					check(
						'deferred_accept',
						'Bare ACKs dropped',
						'warn',
						`listeners wait for data (TCP_DEFER_ACCEPT), so the kernel drops the ACK that completes the handshake: ${listed(ackDropped, ({ lost: count }) => `${number(count)} without an option`)}`,
						'if the balancer sends the option only on that ACK, remove TCP_DEFER_ACCEPT (nginx: listen without deferred) and restart the server',
					),
				]),
	];
}

const portOf = (local: string) => Number(local.slice(local.lastIndexOf(':') + 1));

/** The socket that accepts connections to this address: bound to it, otherwise to all addresses. */
function socketOf(listener: string, listening: readonly ListeningJson[]): ListeningJson | undefined {
	const wildcards = [`0.0.0.0:${portOf(listener)}`, `[::]:${portOf(listener)}`];
	const locals = [listener, ...(listener.startsWith('[') ? wildcards.slice(1) : wildcards)];
	return locals.map((each) => listening.find(({ local }) => local === each)).find((socket) => socket !== undefined);
}

/** Whether accept() and getpeername() are configured to return the client on this port. */
function isTransparent(values: Values, port: number): boolean {
	if (values['transparent.enabled'] !== 'on') return false;
	const ports = values['transparent.ports'] as 'all' | readonly (number | string)[];
	return ports === 'all' || includesPort(rangesOf(ports), port);
}

/** `80`, `"8000-8100"` */
function rangesOf(ports: readonly (number | string)[]) {
	return ports.map((each) => {
		const [first = 0, last = first] = String(each).split('-').map(Number);
		return { first, last };
	});
}
