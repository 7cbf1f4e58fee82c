// SPDX-License-Identifier: Apache-2.0
/**
 * Whether accept() and getpeername() return the client. At an AF_INET listener they cannot return
 * an IPv6 client, because the address family of the socket cannot change.
 */

import type { RecentJson } from '../api/status.ts';
import { type Check, check } from './check.ts';
import type { Values } from './configuration.ts';
import { countsOf, number, span, withClient } from './tally.ts';

const title = 'Transparent addresses';
const shownMax = 3;

/** `recent`: the latest counts of the running daemon; undefined where none runs. */
export function transparentCheck(values: Values, recent: RecentJson | undefined): Check {
	const ports = values['transparent.ports'];
	if (values['transparent.enabled'] === 'off') {
		const found = 'off in the configuration (transparent): accept() and getpeername() are unchanged';
		return check('transparent', title, 'ok', found);
	}
	const where = ports === 'all' ? '' : ` for local ports ${(ports as readonly unknown[]).join(', ')}`;
	const found = `on${where}: accept() and getpeername() return the client`;
	const hidden = (recent?.listeners ?? [])
		.map((row) => ({ listener: row.listener, counts: countsOf(row) }))
		.filter(({ counts }) => counts.hiddenByFamily > 0n);
	if (recent === undefined || hidden.length === 0) return check('transparent', title, 'ok', found);
	const names = hidden
		.slice(0, shownMax)
		.map(({ listener, counts }) => `${listener} (${number(counts.hiddenByFamily)} of ${number(withClient(counts))})`);
	const more = hidden.length > shownMax ? ` and ${hidden.length - shownMax} more` : '';
	return check(
		'transparent',
		title,
		'warn',
		`${found}, but not IPv6 clients at AF_INET listeners, in ${span(recent)}: ${names.join(', ')}${more}`,
		'let these listen on an IPv6 socket that accepts IPv4 as well (nginx: listen [::]:80 ipv6only=off instead of listen 80, and a restart; docs/transparent.md), or call getsockopt(4096)',
	);
}
