// SPDX-License-Identifier: Apache-2.0
/** Whether TOA arrives, and if not, what fits the evidence. */
import { expect, test } from 'vitest';
import type { Check } from '../../daemon/doctor/check.ts';
import type { PeerJson } from '../../daemon/doctor/status.ts';
import { arrivalChecks } from '../../daemon/doctor/traffic.ts';
import { type Counts, type StatusParts, statusOf, tally } from '../fixtures/status.ts';

function named(checks: readonly Check[], name: string): Check {
	const found = checks.find((each) => each.name === name);
	if (found === undefined) throw new Error(`no check ${name}: ${checks.map((each) => each.name)}`);
	return found;
}

const peer = (address: string, verdict: string, connections: number, trusted = false): PeerJson => ({
	address,
	verdict,
	listener: '192.0.2.10:443',
	trusted,
	connections,
});
const option = (kind: number, length: number, connections: number) => ({
	unknown_options: [{ kind, length, connections: String(connections) }],
});
const trust = { trust: ['10.0.0.0/8'] };

test.each<[string, StatusParts, Check['state'], RegExp, RegExp]>([
	['nothing yet', {}, 'warn', /^no connection was opened in the last 5 min$/, /make a new one$/],
	[
		'nothing yet, on some ports of a container',
		{ values: { 'listeners.ports': [443] }, wholeHost: false },
		'warn',
		/^no connection/,
		/is its port in listeners\.ports\?; sockets outside of the cgroup/,
	],
	[
		'nothing yet, in one network namespace',
		{ values: { 'listeners.ports': 'all', 'listeners.netns': 'host' } },
		'warn',
		/^no connection/,
		/make a new one; other network namespaces are not seen \(listeners\.netns\)$/,
	],
	['nothing any more', { total: { toa: 1234 } }, 'warn', /^no connection/, /^1,234 were before: has the traffic gone/],
	['no verdict yet', { now: { opened: 3 } }, 'warn', /^no verdict yet on the 3 connections/, /ask again/],
	['just started', { now: { toa: 1 }, recent: { seconds: 12 } }, 'ok', /of the last 12 s have/, /^$/],
	['TOA for all', { now: { toa: 7000 } }, 'ok', /^7,000 of 7,000 connections of the last 5 min have/, /^$/],
	['TOA for some', { now: { toa: 1, none: 8, conflict: 1 } }, 'ok', /^2 of 10 /, /^$/],
	['it stopped', { now: { none: 5 }, total: { toa: 40, none: 5 } }, 'warn', /^0 of 5 .*; before, 40 had$/, /./],
	['untrusted', { now: { untrusted: 3, none: 1 } }, 'warn', /^0 of 4/, /senders outside of trust: see Untrusted/],
	['malformed', { now: { malformed: 3, none: 1 } }, 'warn', /^0 of 4/, /broken: see Malformed/],
	[
		'the kind of a profile that is not active',
		{ now: { none: 10 }, recent: option(200, 8, 9) },
		'warn',
		/^0 of 10/,
		/^9 of them had an option of kind 200 and length 8, .*add tencent to profiles$/,
	],
	[
		'the kind of an active profile, in another length',
		{ now: { none: 10 }, recent: option(253, 12, 10) },
		'warn',
		/^0 of 10/,
		/kind 253 and length 12, .* \(nat64 has length 20\): .* profile of your own/,
	],
	[
		'a kind that nobody knows',
		{ now: { none: 10 }, recent: option(99, 8, 10) },
		'warn',
		/^0 of 10/,
		/kind 99 and length 8, which no active profile takes: .* profile of your own/,
	],
	[
		'an unknown option now and then, which explains nothing',
		{ now: { none: 1000 }, recent: option(99, 8, 3) },
		'warn',
		/^0 of 1,000/,
		/clients connect directly, or the balancer does not send TOA$/,
	],
	[
		'a kind that nobody knows, from balancers, beside clients past them',
		{
			now: { none: 1000 },
			recent: option(99, 8, 3),
			values: trust,
			peers: [peer('203.0.113.9', 'none', 997), peer('10.0.0.7', 'none', 3, true)],
		},
		'warn',
		/^0 of 1,000/,
		/^3 of them, from trusted networks, had an option of kind 99 and length 8/,
	],
	[
		'an unknown option now and then from balancers',
		{ now: { none: 100 }, recent: option(99, 8, 3), values: trust, peers: [peer('10.0.0.7', 'none', 100, true)] },
		'warn',
		/^0 of 100/,
		/^they come from trusted networks, without an option/,
	],
	[
		'balancers without an option',
		{ now: { none: 9 }, values: trust, peers: [peer('10.0.0.7', 'none', 8, true), peer('203.0.113.9', 'none', 1)] },
		'warn',
		/^0 of 9/,
		/^they come from trusted networks, without an option: 10\.0\.0\.7 \(8\)\. Switch TOA on .*syn: on\? tcpdump -i any -nvv -c 5 'src host 10\.0\.0\.7 and tcp\[13\] & 18 == 2'$/,
	],
	[
		'clients past the balancer',
		{ now: { none: 9 }, values: trust, peers: [peer('10.0.0.7', 'none', 1, true), peer('203.0.113.9', 'none', 8)] },
		'warn',
		/^0 of 9/,
		/^they come from outside of trust, past the balancer: 203\.0\.113\.9 \(8\)\./,
	],
	[
		'peers of which nobody knows what they are',
		{ now: { none: 9 }, peers: [peer('203.0.113.9', 'none', 1200), peer('203.0.113.8', 'none', 8)] },
		'warn',
		/^0 of 9/,
		/the peers are 203\.0\.113\.9 \(1,200\), 203\.0\.113\.8 \(8\): are these your balancers/,
	],
])('whether TOA arrives: %s', (_what, parts, state, found, advice) => {
	const result = named(arrivalChecks(statusOf(parts)), 'toa');
	expect(result).toMatchObject({ state, found: expect.stringMatching(found) });
	expect(result.advice ?? '').toMatch(advice);
});

test('a daemon that has not looked yet', () => {
	expect(arrivalChecks({ ...statusOf({}), recent: null, total: null })).toMatchObject([{ name: 'toa', state: 'warn' }]);
});

test('what is wrong beside good traffic has a line of its own, with who sends it', () => {
	const now: Counts = { toa: 100, untrusted: 2, malformed: 3, conflict: 4 };
	const peers = [peer('10.1.0.1', 'untrusted', 2), peer('10.1.0.2', 'malformed', 3)];
	const checks = arrivalChecks(statusOf({ now, peers, recent: { drops: { ring_full: '5', client_folding: '1' } } }));
	expect(named(checks, 'toa').found).toMatch(/^104 of 109 /);
	expect(named(checks, 'untrusted').found).toMatch(/^2 .*: from 10\.1\.0\.1 \(2\)$/);
	expect(named(checks, 'malformed').found).toMatch(/^3 .*: from 10\.1\.0\.2 \(3\)$/);
	expect(named(checks, 'conflict').found).toMatch(/^4 .*different addresses$/);
	const once = arrivalChecks(statusOf({ now: { toa: 1, malformed: 1 } }));
	expect(named(once, 'malformed').found).toMatch(/^1 connection had /);
	expect(named(checks, 'drops')).toMatchObject({
		state: 'warn',
		found: 'ring_full 5, client_folding 1',
		advice: 'raise bpf.ring_bytes',
	});
});

test('drops that ask for nothing are no warning', () => {
	const drops = (counts: Record<string, string>) =>
		named(arrivalChecks(statusOf({ now: { toa: 1 }, recent: { drops: counts } })), 'drops');
	expect(drops({})).toMatchObject({ state: 'ok', found: 'nothing was dropped' });
	expect(drops({ client_folding: '1' })).toMatchObject({ state: 'ok', found: 'client_folding 1' });
});

test('a listener that had TOA and has none any more is named, one that never had is not', () => {
	const line = (listener: string, counts: Counts, before: number) => ({
		listener,
		...tally(counts),
		believed_before: String(before),
	});
	const listeners = [
		line('192.0.2.1:443', { none: 4000 }, 90),
		line('192.0.2.1:22', { none: 50 }, 0),
		line('192.0.2.1:80', { toa: 5, none: 1 }, 9),
		line('192.0.2.1:81', { opened: 5 }, 9),
	];
	const checks = arrivalChecks(statusOf({ now: { toa: 5 }, recent: { listeners } }));
	expect(named(checks, 'silent_listeners')).toMatchObject({ state: 'warn', found: '192.0.2.1:443 (0 of 4,000)' });
	const four = [1, 2, 3, 4].map((at) => line(`192.0.2.${at}:443`, { none: 1 }, 1));
	expect(
		named(arrivalChecks(statusOf({ now: { toa: 1 }, recent: { listeners: four } })), 'silent_listeners').found,
	).toMatch(/192\.0\.2\.3:443 \(0 of 1\) and 1 more$/);
});

test('tables that are nearly full are named with their keys; those that may be full are not', () => {
	const maps = [
		{ map: 'clients', entries: 900, capacity: 1000 },
		{ map: 'connections', entries: 1000, capacity: 1000 },
		{ map: 'listeners', entries: 8, capacity: 257 },
	];
	const checks = arrivalChecks(statusOf({ now: { toa: 1 }, maps }));
	expect(named(checks, 'tables')).toMatchObject({
		state: 'warn',
		found: 'clients: 900 of 1,000',
		advice: expect.stringMatching(/^raise clients\.capacity \(a restart\)/),
	});
});
