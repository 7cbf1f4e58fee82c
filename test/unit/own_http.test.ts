// SPDX-License-Identifier: Apache-2.0
/** Which connections are to the daemon's own HTTP, and what the doctor makes of the others. */
import { expect, it } from 'vitest';
import { arrivalChecks } from '../../daemon/doctor/traffic.ts';
import type { Snapshot } from '../../daemon/model/snapshot.ts';
import { ownListeners } from '../../daemon/service/own_http.ts';
import { type Counts, statusOf, tally } from '../fixtures/status.ts';

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

it('are, for all addresses, those to the addresses of this network namespace: a container has others', () => {
	const all = snapshot(['192.0.2.1:10646'], ['[::1]:10646'], ['[fe80::1]:10646'], ['172.17.0.2:10646']);
	expect([...ownListeners(all, { family: 6, text: '::', port: 10646 }, interfaces)]).toEqual([
		'192.0.2.1:10646',
		'[::1]:10646',
		'[fe80::1]:10646',
	]);
});

it.each(['toa', 'conflict', 'untrusted', 'malformed'])('are none where an option came: %s', (verdict) => {
	const all = snapshot(['127.0.0.1:10646', { none: 6n, [verdict]: 1n }]);
	expect([...ownListeners(all, { family: 4, text: '127.0.0.1', port: 10646 }, interfaces)]).toEqual([]);
});

it('are left out of whether TOA arrives, and named', () => {
	const listener = '127.0.0.1:10646';
	const own = (counts: Counts) => ({ listeners: [listener], total: tally(counts), recent: tally(counts) });
	const line = { listener, ...tally({ none: 6 }), believed_before: '0' };
	const peers = [{ address: '127.0.0.1', verdict: 'none', listener, trusted: true, connections: 6 }];
	const scraped = {
		...statusOf({ now: { none: 6 }, recent: { listeners: [line] }, peers }),
		own_http: own({ none: 6 }),
	};
	const checks = arrivalChecks(scraped, () => []);
	expect(checks.map(({ name }) => name)).not.toContain('lost_options');
	expect(checks.find(({ name }) => name === 'toa')).toMatchObject({
		found: 'no connection was opened in the last 5 min (to 127.0.0.1:10646, toascope itself, apart: 6)',
		advice: expect.stringMatching(/make a new one$/),
	});
	const served = { ...statusOf({ now: { toa: 4, none: 6 } }), own_http: own({ none: 6 }) };
	expect(arrivalChecks(served, () => [])[0]).toMatchObject({
		state: 'ok',
		found: expect.stringMatching(/^4 of 4 connections/),
	});
	expect(arrivalChecks({ ...served, own_http: null }, () => [])[0]?.state).toBe('warn');
});
