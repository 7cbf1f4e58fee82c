// SPDX-License-Identifier: Apache-2.0
/** Connections to the daemon's own HTTP, and the doctor's findings without them. */
import { expect, it } from 'vitest';
import { arrivalChecks } from '../../../daemon/doctor/traffic.ts';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { ownListeners } from '../../../daemon/service/own_http.ts';
import { type Counts, statusOf, tally } from '../../kit/model/status.ts';

const nothing = { toa: 0n, none: 0n, malformed: 0n, untrusted: 0n, conflict: 0n };
const snapshot = (...listeners: [string, object?][]) =>
	({
		listeners: listeners.map(([listener, counts]) => ({ listener, handshakes: { ...nothing, ...counts } })),
	}) as unknown as Snapshot;
const interfaces = () =>
	({
		lo: [
			{ family: 'IPv4', address: '127.0.0.1' },
			{ family: 'IPv6', address: '::1' },
		],
		eth0: [
			{ family: 'IPv4', address: '192.0.2.1' },
			{ family: 'IPv6', address: 'fe80::1%eth0' },
		],
	}) as unknown as ReturnType<typeof import('node:os').networkInterfaces>;

it('are those to the address that it listens on', () => {
	const all = snapshot(['127.0.0.1:10646', { none: 6n }], ['127.0.0.1:80'], ['172.17.0.2:10646']);
	const at = (family: 4 | 6, text: string) => [...ownListeners(all, { family, text, port: 10646 }, interfaces)];
	expect(at(4, '127.0.0.1')).toEqual(['127.0.0.1:10646']);
	expect(at(4, '192.0.2.1')).toEqual([]);
	expect([...ownListeners(all, undefined, interfaces)]).toEqual([]);
});

it('are, for all addresses, those to addresses of this network namespace, not of a container', () => {
	const all = snapshot(['192.0.2.1:10646'], ['[::1]:10646'], ['[fe80::1]:10646'], ['172.17.0.2:10646']);
	expect([...ownListeners(all, { family: 6, text: '::', port: 10646 }, interfaces)]).toEqual([
		'192.0.2.1:10646',
		'[::1]:10646',
		'[fe80::1]:10646',
	]);
});

it.each(['toa', 'conflict', 'untrusted', 'malformed'])('are none if an option arrived: %s', (verdict) => {
	const all = snapshot(['127.0.0.1:10646', { none: 6n, [verdict]: 1n }]);
	expect([...ownListeners(all, { family: 4, text: '127.0.0.1', port: 10646 }, interfaces)]).toEqual([]);
});

it('do not count in whether TOA arrives, and are named', () => {
	const listener = '127.0.0.1:10646';
	const own = (counts: Counts) => ({ listeners: [listener], total: tally(counts), recent: tally(counts) });
	const row = { listener, ...tally({ none: 6 }), had_client_before: '0' };
	const peers = [{ address: '127.0.0.1', verdict: 'none', listener, trusted: true, connections: 6 }];
	const scraped = {
		...statusOf({ now: { none: 6 }, recent: { listeners: [row] }, peers }),
		own_http: own({ none: 6 }),
	};
	const checks = arrivalChecks(scraped, () => []);
	expect(checks.map(({ name }) => name)).not.toContain('lost_options');
	expect(checks.find(({ name }) => name === 'toa')).toMatchObject({
		found: "no connection was opened in the last 5 min (toascope's own HTTP at 127.0.0.1:10646, not counted: 6)",
		advice: expect.stringMatching(/make a new one$/),
	});
	const served = { ...statusOf({ now: { toa: 4, none: 6 } }), own_http: own({ none: 6 }) };
	expect(arrivalChecks(served, () => [])[0]).toMatchObject({
		state: 'ok',
		found: expect.stringMatching(/^4 of 4 connections/),
	});
	expect(arrivalChecks({ ...served, own_http: null }, () => [])[0]?.state).toBe('warn');
});
