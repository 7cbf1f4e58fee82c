// SPDX-License-Identifier: Apache-2.0
/** Which connections of a peer were open at a time, where clocks differ a little. */
import { expect, it } from 'vitest';
import { openAt } from '../../../daemon/model/lookup.ts';
import { open } from '../../kit/model/view.ts';

const ms = 1_000_000n;
const first = { ...open, cookie: 1n, openedNs: 1000n * ms, closedNs: 2000n * ms };
const second = { ...open, cookie: 2n, openedNs: 2005n * ms, closedNs: 3000n * ms };
/** It opened within the same millisecond in which `first` closed. */
const next = { ...open, cookie: 3n, openedNs: 2000n * ms + 300_000n, closedNs: undefined };

const cookiesAt = (connections: readonly (typeof open)[], atNs: bigint, slackMs: bigint) =>
	openAt(connections, { atNs: [atNs], slackNs: slackMs * ms }).map(({ cookie }) => cookie);

it.each<[string, bigint, bigint, readonly bigint[]]>([
	['within the connection', 1500n * ms, 10n, [1n]],
	['a little before it opened', 991n * ms, 10n, [1n]],
	['too long before it opened', 989n * ms, 10n, []],
	['before it opened, without slack', 999n * ms, 0n, []],
	['where two are near, the one that was open', 2000n * ms, 10n, [1n]],
	['where two are near, the one that opens within a millisecond', 2004n * ms + 500_000n, 10n, [2n]],
	['between two, with a millisecond too little for either: both', 2002n * ms + 500_000n, 10n, [1n, 2n]],
])('%s', (_what, atNs, slackMs, cookies) => {
	expect(cookiesAt([first, second], atNs, slackMs)).toEqual(cookies);
});

it('leaves two that a time cut to the millisecond cannot tell apart', () => {
	expect(cookiesAt([first, next], 2000n * ms, 10n)).toEqual([1n, 3n]);
});

it('without a time, has all of them', () => {
	expect(openAt([first, second], {})).toEqual([first, second]);
});

it('accepts each of several times that the wall clock has shown twice', () => {
	expect(openAt([first, second], { atNs: [1n, 2500n * ms], slackNs: 0n })).toEqual([second]);
});
