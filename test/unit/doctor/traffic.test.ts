// SPDX-License-Identifier: Apache-2.0
/** Whether TOA arrives, and if not, which cause fits the evidence. */
import { describe, expect, test } from 'vitest';
import type { PeerJson } from '../../../daemon/api/status.ts';
import { foldConsequences } from '../../../daemon/doctor/causes.ts';
import type { Check } from '../../../daemon/doctor/check.ts';
import { arrivalChecks } from '../../../daemon/doctor/traffic.ts';
import { transparentCheck } from '../../../daemon/doctor/transparent.ts';
import { type Counts, type StatusParts, statusOf, tally } from '../../kit/model/status.ts';

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
	['no connection yet', {}, 'warn', /^no connection was opened in the last 5 min$/, /make a new one$/],
	[
		'no connection yet, on some ports of a container',
		{ values: { 'listeners.ports': [443] }, wholeHost: false },
		'warn',
		/^no connection/,
		/is its port in listeners\.ports\?; sockets outside the cgroup/,
	],
	[
		'no connection yet, in one network namespace',
		{ values: { 'listeners.ports': 'all', 'listeners.netns': 'host' } },
		'warn',
		/^no connection/,
		/make a new one; other network namespaces are not observed \(listeners\.netns\)$/,
	],
	['no connection any more', { total: { toa: 1234 } }, 'warn', /^no connection/, /^1,234 were opened before: has/],
	['no verdict yet', { now: { opened: 3 } }, 'warn', /^no verdict yet on the 3 connections/, /try again$/],
	['just started', { now: { toa: 1 }, recent: { seconds: 12 } }, 'ok', /in the last 12 s have/, /^$/],
	['TOA for all', { now: { toa: 7000 } }, 'ok', /^7,000 of 7,000 connections in the last 5 min have/, /^$/],
	['TOA for all of the balancer', { now: { toa: 1, none: 8, conflict: 1, lost_options: 0 } }, 'ok', /^2 of 10 /, /^$/],
	[
		'TOA for 1 of 100 connections of trusted peers',
		{
			now: { toa: 1, none: 99 },
			values: trust,
			peers: [peer('10.0.0.7', 'none', 99, true), peer('10.0.0.8', 'toa', 1, true)],
		},
		'warn',
		/^1 of 100 connections in the last 5 min have a client$/,
		/^they come from trusted networks, without an option: 10\.0\.0\.7 \(99\)\. They never send one: .*health checks that send a request/,
	],
	[
		'TOA for half of what the same peer sends',
		{
			now: { toa: 50, none: 50 },
			values: trust,
			peers: [peer('10.0.0.7', 'none', 50, true), peer('10.0.0.7', 'toa', 50, true)],
		},
		'warn',
		/^50 of 100 /,
		/They send options on other connections/,
	],
	['one option in a hundred lost', { now: { toa: 99, none: 1 }, values: trust }, 'ok', /^99 of 100 /, /^$/],
	['clients that connect directly, with an empty trust', { now: { toa: 60, none: 40 } }, 'ok', /^60 of 100 /, /^$/],
	[
		'health checks beside clients',
		{ now: { toa: 10, none: 100, health_checks: 100 }, values: trust },
		'ok',
		/^10 of 10 connections in the last 5 min have a client \(health checks, not counted: 100\)$/,
		/^$/,
	],
	[
		'nothing but health checks',
		{ now: { none: 100, health_checks: 100 }, values: trust },
		'warn',
		/^no client yet: the 100 connections in the last 5 min are health checks/,
		/make a connection through the balancer/,
	],
	[
		'options from senders outside trust, beside a few that are trusted',
		{ now: { toa: 1, untrusted: 99 }, values: trust },
		'warn',
		/^1 of 100 /,
		/see Untrusted senders$/,
	],
	['TOA that stopped', { now: { none: 5 }, total: { toa: 40, none: 5 } }, 'warn', /^0 of 5 .*; before, 40 had$/, /./],
	['untrusted', { now: { untrusted: 3, none: 1 } }, 'warn', /^0 of 4/, /senders outside trust: see Untrusted/],
	['malformed', { now: { malformed: 3, none: 1 } }, 'warn', /^0 of 4/, /malformed: see Malformed/],
	[
		'the kind of a profile that is not active',
		{ now: { none: 10 }, recent: option(200, 8, 9) },
		'warn',
		/^0 of 10/,
		/^9 of them had an option of kind 200 and length 8, .* set balancer to tencent-clb, tencent-gaap, ucloud-ulb or ip-vs-ca, or add tencent to profiles$/,
	],
	[
		'the kind of a profile that is not active, where the file sets profiles, which balancer would not change',
		{ now: { none: 10 }, recent: option(254, 20, 9), values: { profiles: ['toa4'] } },
		'warn',
		/^0 of 10/,
		/ set balancer to huawei-elb or dpvs instead of profiles, or add toa6 to profiles$/,
	],
	[
		'the kind of an active profile, in another length',
		{ now: { none: 10 }, recent: option(253, 12, 10) },
		'warn',
		/^0 of 10/,
		/kind 253 and length 12, .* \(nat64 has length 20\): .* custom profile/,
	],
	[
		'a kind that no profile has',
		{ now: { none: 10 }, recent: option(99, 8, 10) },
		'warn',
		/^0 of 10/,
		/kind 99 and length 8, which no active profile matches: .* custom profile/,
	],
	[
		'an unknown option now and then, which explains nothing',
		{ now: { none: 1000 }, recent: option(99, 8, 3) },
		'warn',
		/^0 of 1,000/,
		/clients connect directly, or the balancer does not send TOA$/,
	],
	[
		'a kind that no profile has, from balancers, beside clients that bypass them',
		{
			now: { none: 1000, lost_options: 3 },
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
		/^they come from trusted networks, without an option: 10\.0\.0\.7 \(8\)\. Switch TOA on .*syn: on; .*: tcpdump -i any -nvv -c 5 'src host 10\.0\.0\.7 and tcp\[13\] & 18 == 2'$/,
	],
	[
		'clients that bypass the balancer',
		{ now: { none: 9 }, values: trust, peers: [peer('10.0.0.7', 'none', 1, true), peer('203.0.113.9', 'none', 8)] },
		'warn',
		/^0 of 9/,
		/^they come from outside trust, bypassing the balancer: 203\.0\.113\.9 \(8\)\./,
	],
	[
		'peers that are not known to be balancers or clients',
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

test('a daemon that has not collected yet is a warning', () => {
	expect(arrivalChecks({ ...statusOf({}), recent: null, total: null })).toMatchObject([{ name: 'toa', state: 'warn' }]);
});

test('problems beside good traffic have findings of their own, which name the senders', () => {
	const now: Counts = { toa: 100, untrusted: 2, malformed: 3, conflict: 4 };
	const peers = [peer('10.1.0.1', 'untrusted', 2), peer('10.1.0.2', 'malformed', 3)];
	const checks = arrivalChecks(statusOf({ now, peers, recent: { drops: { ring_full: '5', client_folding: '1' } } }));
	expect(named(checks, 'toa').found).toMatch(/^104 of 109 /);
	expect(named(checks, 'untrusted').found).toMatch(/^2 .*: from 10\.1\.0\.1 \(2\)$/);
	expect(named(checks, 'malformed').found).toMatch(/^3 .*: from 10\.1\.0\.2 \(3\)$/);
	expect(named(checks, 'conflict').found).toMatch(/^4 .*different addresses$/);
	expect(named(checks, 'conflict').advice).toMatch(/give their profiles a priority or a pick/);
	const once = arrivalChecks(statusOf({ now: { toa: 1, malformed: 1 } }));
	expect(named(once, 'malformed').found).toMatch(/^1 connection had /);
	expect(named(checks, 'drops')).toMatchObject({
		state: 'warn',
		found: 'ring_full 5, client_folding 1',
		advice: 'raise bpf.ring_bytes',
	});
});

test('drops that need no action are not a warning', () => {
	const drops = (counts: Record<string, string>) =>
		named(arrivalChecks(statusOf({ now: { toa: 1 }, recent: { drops: counts } })), 'drops');
	expect(drops({})).toMatchObject({ state: 'ok', found: 'nothing was dropped' });
	expect(drops({ client_folding: '1' })).toMatchObject({ state: 'ok', found: 'client_folding 1' });
});

test('a listener that had TOA and has none any more is named; one that never had it is not', () => {
	const row = (listener: string, counts: Counts, before: number) => ({
		listener,
		...tally(counts),
		had_client_before: String(before),
	});
	const listeners = [
		row('192.0.2.1:443', { none: 4000 }, 90),
		row('192.0.2.1:22', { none: 50 }, 0),
		row('192.0.2.1:80', { toa: 5, none: 1 }, 9),
		row('192.0.2.1:81', { opened: 5 }, 9),
	];
	const checks = arrivalChecks(statusOf({ now: { toa: 5 }, recent: { listeners } }));
	expect(named(checks, 'silent_listeners')).toMatchObject({ state: 'warn', found: '192.0.2.1:443 (0 of 4,000)' });
	const four = [1, 2, 3, 4].map((at) => row(`192.0.2.${at}:443`, { none: 1 }, 1));
	expect(
		named(arrivalChecks(statusOf({ now: { toa: 1 }, recent: { listeners: four } })), 'silent_listeners').found,
	).toMatch(/192\.0\.2\.3:443 \(0 of 1\) and 1 more$/);
});

test('nearly full tables are named with their keys; tables that are allowed to be full are not', () => {
	const maps = [
		{ map: 'clients', entries: 900, capacity: 1000 },
		{ map: 'connections', entries: 1000, capacity: 1000 },
		{ map: 'listeners', entries: 8, capacity: 257 },
	];
	const checks = arrivalChecks(statusOf({ now: { toa: 1 }, maps }));
	expect(named(checks, 'tables')).toMatchObject({
		state: 'warn',
		found: 'clients: 900 of 1,000',
		advice: expect.stringMatching(/^raise clients\.capacity \(requires a restart\)/),
	});
});

test('options that no active profile matches are always named, with the profile that would match', () => {
	const unknown_options = [
		{ kind: 200, length: 8, connections: '50' },
		{ kind: 99, length: 8, connections: '1' },
	];
	const few = arrivalChecks(statusOf({ now: { toa: 10_000, none: 51 }, values: trust, recent: { unknown_options } }));
	expect(named(few, 'toa').state).toBe('ok');
	expect(named(few, 'unknown_options')).toMatchObject({
		state: 'warn',
		found: expect.stringMatching(/an option of kind 200 and length 8 on 50, an option of kind 99 and length 8 on 1;/),
		advice: expect.stringMatching(/kind 200: .* add tencent to profiles; kind 99: .* custom profile/),
	});
	const all = arrivalChecks(statusOf({ now: { none: 51 }, values: trust, recent: { unknown_options } }));
	expect(named(all, 'toa')).toMatchObject({ state: 'warn', because: 'unknown_options' });
	expect(arrivalChecks(statusOf({ now: { toa: 1 } })).map(({ name }) => name)).not.toContain('unknown_options');
});

const at = (listener: string, counts: Counts, before = 0) => ({
	listener,
	...tally(counts),
	had_client_before: String(before),
});

test('findings that follow from another finding refer to it', () => {
	const listeners = [at('192.0.2.1:443', { untrusted: 9 }, 9)];
	const checks = arrivalChecks(statusOf({ now: { untrusted: 9 }, values: trust, recent: { listeners } }));
	expect(named(checks, 'toa').because).toBe('untrusted');
	expect(named(checks, 'silent_listeners').because).toBe('toa');
	expect(
		foldConsequences(checks)
			.filter(({ state }) => state !== 'ok')
			.map(({ check }) => check.name),
	).toEqual(['untrusted']);
	const maps = [{ map: 'listeners', entries: 256, capacity: 257 }];
	const full = (drops: Record<string, string>) =>
		named(arrivalChecks(statusOf({ now: { toa: 1 }, maps, recent: { drops } })), 'drops').because;
	expect(full({ listeners_full: '3' })).toBe('tables');
	expect(full({ listeners_full: '3', ring_full: '1' })).toBeUndefined();
});

test('a listener whose options are lost is not hidden by good listeners', () => {
	const listeners = [at('192.0.2.1:443', { toa: 10_000 }), at('192.0.2.1:8080', { toa: 1, none: 99 })];
	const checks = arrivalChecks(statusOf({ now: { toa: 10_001, none: 99 }, values: trust, recent: { listeners } }));
	expect(named(checks, 'toa').state).toBe('ok');
	expect(named(checks, 'lost_options')).toMatchObject({
		state: 'warn',
		found: expect.stringMatching(/: 192\.0\.2\.1:8080 \(99 of 100\)$/),
	});
});

describe('whether a listener waits for data', () => {
	const socket = (local: string, defers_accept: boolean) => ({ local, pid: 7, comm: 'nginx', defers_accept });
	const on = { 'transparent.enabled': 'on', 'transparent.ports': ['80-89'] };

	test('it should, where the option arrives with the data', () => {
		const listeners = [at('192.0.2.1:80', { toa: 500, options_data: 500 })];
		const checks = (defers: boolean, values: object, counts: Counts = {}) =>
			arrivalChecks(
				statusOf({
					now: { toa: 500 },
					values: { ...trust, ...values },
					recent: { listeners: Object.keys(counts).length > 0 ? [at('192.0.2.1:80', counts)] : listeners },
					listening: [socket('0.0.0.0:80', defers), socket('[::]:443', true)],
				}),
			).map(({ name }) => name);
		expect(checks(false, on)).toContain('accept_before_data');
		expect(checks(true, on)).not.toContain('accept_before_data');
		expect(checks(false, { ...on, 'transparent.ports': [443] })).not.toContain('accept_before_data');
		expect(checks(false, { 'transparent.enabled': 'off' })).not.toContain('accept_before_data');
		expect(checks(false, on, { toa: 500, options_ack: 499, options_data: 1 })).not.toContain('accept_before_data');
	});

	test('it should not, where no option arrives any more', () => {
		const checks = (defers: boolean) =>
			arrivalChecks(
				statusOf({
					now: { none: 500 },
					values: trust,
					recent: { listeners: [at('[2001:db8::1]:80', { none: 500 })] },
					listening: [socket('[::]:80', defers)],
				}),
			);
		expect(named(checks(true), 'deferred_accept').found).toMatch(/\[2001:db8::1\]:80 \(500 without an option\)$/);
		expect(named(checks(true), 'toa').because).toBe('deferred_accept');
		expect(checks(false).map(({ name }) => name)).not.toContain('deferred_accept');
	});
});

test('IPv6 clients that transparent cannot show are counted, with listener and remedy', () => {
	const listeners = [at('192.0.2.1:80', { toa: 10, hidden_by_family: 7 }), at('192.0.2.1:81', { toa: 10 })];
	const { recent } = statusOf({ now: { toa: 20 }, recent: { listeners } });
	const values = { 'transparent.enabled': 'on', 'transparent.ports': 'all' };
	expect(transparentCheck(values, recent ?? undefined)).toMatchObject({
		state: 'warn',
		found: expect.stringMatching(/but not IPv6 clients .*: 192\.0\.2\.1:80 \(7 of 10\)$/),
		advice: expect.stringMatching(/ipv6only=off/),
	});
	expect(transparentCheck(values, undefined).state).toBe('ok');
});

test('connections without a state: small option memory is distinguished from a host out of memory', () => {
	const status = statusOf({ now: { toa: 1 }, recent: { drops: { socket_storage: '5' } } });
	const small = [{ namespace: '/proc/42/ns/net', bytes: 300 }];
	expect(
		named(
			arrivalChecks(status, () => small),
			'drops',
		).advice,
	).toBe(
		'net.core.optmem_max is 300 in /proc/42/ns/net: too little for the state of a connection; ' +
			'restore the default there: nsenter --net=/proc/42/ns/net sysctl -w net.core.optmem_max=131072',
	);
	expect(
		named(
			arrivalChecks(status, () => []),
			'drops',
		).advice,
	).toMatch(/otherwise the host is out of memory$/);
});
