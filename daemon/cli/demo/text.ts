// SPDX-License-Identifier: Apache-2.0
/** What the demo prints for people. */

import { asInvoked } from '../../invocation.ts';
import { formatEndpoint } from '../../model/address.ts';
import type { Connection } from '../../model/connection.ts';
import { printable } from '../../terminal.ts';
import { formatBytes } from '../units.ts';
import type { Tally } from './check.ts';

/** `backend`: the port of the user's own server. */
export function demoHeader(url: string | undefined, backend?: number): string {
	const ask = asInvoked(`Ask it: toascope lookup PEER --url ${url}`);
	const scrape = url === undefined ? '' : `Scrape it: curl ${url}/metrics   ${ask}\n`;
	const server = backend === undefined ? 'an IPv4 server' : `your server on 127.0.0.1:${backend} (GET /)`;
	return [
		`IPv6 clients reach ${server} through a NAT64 gateway; each line is one connection as it closes.\n`,
		backend === undefined
			? ''
			: 'transparent is on for this port: a server that listens on [::] sees and logs the clients themselves.\n',
		'Left of the arrow: the peer that the server sees. Right of it: the client that toascope has found.\n',
		scrape,
		'Ctrl-C ends it and leaves nothing behind.\n\n',
	].join('');
}

/** One connection on one line. */
export function eventLine(connection: Connection): string {
	const { peer, client, owner, profile, segment, openedNs, closedNs } = connection;
	const real = client === undefined ? `(${connection.verdict})` : formatEndpoint(client);
	const process = owner === undefined ? '-' : `${printable(owner.comm)}[${owner.pid}]`;
	const lasted = closedNs === undefined ? '' : `${(Number(closedNs - openedNs) / 1e6).toFixed(1)} ms`;
	return `${[
		formatEndpoint(peer).padEnd(20),
		'->',
		real.padEnd(28),
		(profile === undefined ? '-' : `${profile}/${segment}`).padEnd(10),
		process.padEnd(14),
		`${formatBytes(connection.receivedBytes)} in`.padStart(11),
		`${formatBytes(connection.sentBytes)} out`.padStart(12),
		lasted.padStart(10),
	].join(' ')}\n`;
}

/** How a tally is reported, in words or as JSON. */
export function reportOf(tally: Tally, seconds: number) {
	return {
		clients: tally.clients.size,
		connections: tally.connections,
		resolved: tally.resolved,
		mismatched: tally.mismatched,
		unresolved: tally.unresolved,
		failed: tally.failed,
		bytes_mismatched: tally.bytesMismatched,
		seconds: Math.round(seconds * 1000) / 1000,
	};
}

export function tallyText(report: Readonly<Record<string, string | number>>): string {
	const { connections, clients, resolved, mismatched, unresolved, failed, bytes_mismatched: bytes, seconds } = report;
	return [
		`${connections} connections of ${clients} clients through NAT64 in ${seconds} s: `,
		`${resolved} resolved to the client that made them, ${mismatched} to another, ${unresolved} to none, `,
		`${failed} failed, ${bytes} with byte counts that differ from the client's own.\n`,
	].join('');
}
