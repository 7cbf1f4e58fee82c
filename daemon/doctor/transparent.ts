// SPDX-License-Identifier: Apache-2.0
/** Do accept() and getpeername() give the client? Not an IPv6 one at an AF_INET listener: its family cannot change. */
import { type Check, check } from './check.ts';
import type { Values } from './configuration.ts';
import type { RecentJson } from './status.ts';
import { countsOf, number, span, withClient } from './tally.ts';

const title = 'Transparent addresses';
const shownMax = 3;

/** `recent`: what a daemon has counted; undefined where none runs. */
export function transparentCheck(values: Values, recent: RecentJson | undefined): Check {
	const ports = values['transparent.ports'];
	if (values['transparent.enabled'] === 'off') {
		const found = 'off in the configuration (transparent): accept() and getpeername() are unchanged';
		return check('transparent', title, 'ok', found);
	}
	const where = ports === 'all' ? '' : ` for local ports ${(ports as readonly unknown[]).join(', ')}`;
	const found = `on${where}: accept() and getpeername() give the client`;
	const hidden = (recent?.listeners ?? [])
		.map((line) => ({ listener: line.listener, counts: countsOf(line) }))
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
		`${found}, but not IPv6 clients at listeners that are AF_INET, in ${span(recent)}: ${names.join(', ')}${more}`,
		'have these listen on an IPv6 socket that takes IPv4 as well (nginx: listen [::]:80 ipv6only=off in place of listen 80, and a restart; docs/transparent.md), or ask getsockopt(4096)',
	);
}
