// SPDX-License-Identifier: Apache-2.0
/**
 * The option on the SYN, for profiles that are marked for it: by itself, with another one later,
 * and on every kind of listener.
 */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Lab } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { closedConnection } from '../kit/daemon/lookup.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { Listener } from '../kit/wire/listener.ts';
import { type ProfileName, toaOption } from '../kit/wire/toa_option.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';
import { wireNetwork } from '../kit/wire/wire.ts';
import type { WireConnection } from '../kit/wire/wire_connection.ts';
import { noOption, type ReportedVerdict, WireStage } from '../kit/wire/wire_stage.ts';

const [client4, otherClient4, client6] = ['203.0.113.7', '203.0.113.8', '2001:db8::42'] as const;
const cdn4 = toaOption('cdn4', client4);
const cdn6 = toaOption('cdn6', client6);

const toa = (profile: ProfileName, segment: string, address: string, port: number | null = null): ReportedVerdict => ({
	verdict: 'toa',
	profile,
	segment,
	client: { address, port },
});
const onSyn = toa('cdn4', 'syn', client4);

const profiles = 'profiles: [nat64, toa4, cdn4, cdn6]';

let stage: WireStage<'plain' | 'dual' | 'six' | 'defer' | 'fastopen' | 'mptcp' | 'reporting' | 'saving'>;
let cookies: WireStage<'plain'>;

beforeAll(async () => {
	[stage, cookies] = await Promise.all([
		WireStage.open(
			{
				plain: ['4'],
				dual: ['dual'],
				six: ['6'],
				defer: ['4', 'defer'],
				fastopen: ['4', 'fastopen'],
				mptcp: ['4', 'mptcp'],
				reporting: ['4', 'reporting'],
				saving: ['4', 'saving', 'reporting'],
			},
			{ sysctls: { 'ipv4/tcp_fastopen': '3' }, config: [profiles] },
		),
		WireStage.open({ plain: ['4'] }, { sysctls: { 'ipv4/tcp_syncookies': '2' }, config: [profiles] }),
	]);
});

afterAll(async () => {
	await stage?.[Symbol.asyncDispose]();
	await cookies?.[Symbol.asyncDispose]();
});

/** SYN, SYN-ACK, ACK. */
async function open(one: WireConnection, onSyn: string, onAck?: string): Promise<WireConnection> {
	one.syn({ options: onSyn });
	await one.synAck();
	one.acknowledge(onAck);
	return one;
}

const opened = (syn: string, ack?: string) => open(stage.connection('plain'), syn, ack);

describe('only on the SYN', () => {
	it('IPv4, without data', async () => {
		expect(await stage.reportedAfterReset(await opened(cdn4))).toEqual(onSyn);
	});

	it('IPv4, with data', async () => {
		const one = await opened(cdn4);
		one.data('x');
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(onSyn);
	});

	it('IPv6', async () => {
		expect(await stage.reportedAfterReset(await opened(cdn6))).toEqual(toa('cdn6', 'syn', client6));
	});

	it('after the options of an ordinary SYN', async () => {
		const ordinary = '020405b40402080a000000010000000001030307';
		expect(await stage.reportedAfterReset(await opened(ordinary + cdn4))).toEqual(onSyn);
	});

	it('at the end of 40 bytes of options', async () => {
		expect(await stage.reportedAfterReset(await opened('01'.repeat(33) + cdn4))).toEqual(onSyn);
	});

	it('of a profile that is not marked: not found', async () => {
		expect(await stage.reportedAfterReset(await opened(toaOption('toa4', client4)))).toEqual(noOption);
	});

	it('next to one of a profile that is not marked', async () => {
		expect(await stage.reportedAfterReset(await opened(toaOption('toa4', otherClient4) + cdn4))).toEqual(onSyn);
	});

	it('two that differ: a conflict, and the first one counts', async () => {
		const one = await opened(cdn4 + toaOption('cdn4', otherClient4));
		expect(await stage.reportedAfterReset(one)).toEqual({ ...onSyn, verdict: 'conflict' });
	});

	it('malformed', async () => {
		expect(await stage.reportedAfterReset(await opened('1c00ffff'))).toEqual({ ...noOption, verdict: 'malformed' });
	});

	it('a SYN that is retransmitted without it: the kernel keeps the first', async () => {
		const one = stage.connection('plain');
		one.syn({ options: cdn4 });
		await one.synAck();
		one.syn();
		await one.synAck();
		one.acknowledge();
		expect(await stage.reportedAfterReset(one)).toEqual(onSyn);
	});
});

describe('on the SYN and on a later segment', () => {
	it('another address on the ACK: a conflict, and the later one counts', async () => {
		const one = await opened(cdn4, toaOption('nat64', client6));
		expect(await stage.reportedAfterReset(one)).toEqual({ ...toa('nat64', 'ack', client6, 5555), verdict: 'conflict' });
	});

	it('another address on the first data: a conflict, and the later one counts', async () => {
		const one = await opened(cdn4);
		one.data('x', { options: toaOption('cdn4', otherClient4) });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual({ ...toa('cdn4', 'data', otherClient4), verdict: 'conflict' });
	});

	it('the same option on the ACK', async () => {
		expect(await stage.reportedAfterReset(await opened(cdn4, cdn4))).toEqual(toa('cdn4', 'ack', client4));
	});

	it('the same address on the ACK, with the port that the SYN has no room for: they agree, as in one list', async () => {
		const one = await opened(cdn4, toaOption('toa4', client4));
		expect(await stage.reportedAfterReset(one)).toEqual(toa('toa4', 'ack', client4, 5555));
	});

	it('another address after the first acknowledged data: too late', async () => {
		const one = await opened(cdn4);
		one.data('x');
		await one.acknowledged(1);
		one.data('y', { options: toaOption('nat64', client6) });
		await one.acknowledged(2);
		expect(await stage.reportedAfterReset(one)).toEqual(onSyn);
	});

	it('malformed on the SYN, good on the ACK', async () => {
		expect(await stage.reportedAfterReset(await opened('1c00ffff', cdn4))).toEqual(toa('cdn4', 'ack', client4));
	});

	it('good on the SYN, malformed on the ACK', async () => {
		expect(await stage.reportedAfterReset(await opened(cdn4, '1c00ffff'))).toEqual(onSyn);
	});
});

describe.each([
	{ name: 'a dual-stack listener, over IPv4', to: 'dual', family: 4 },
	{ name: 'a dual-stack listener, over IPv6', to: 'dual', family: 6 },
	{ name: 'an AF_INET6 listener', to: 'six', family: 6 },
	{ name: 'an MPTCP listener', to: 'mptcp', family: 4 },
] as const)('$name', ({ to, family }) => {
	it('the option on the SYN', async () => {
		const one = await open(stage.connection(to, { family }), cdn6);
		expect(await stage.reportedAfterReset(one)).toEqual(toa('cdn6', 'syn', client6));
	});
});

describe('other handshakes', () => {
	it('TCP_DEFER_ACCEPT', async () => {
		const one = await open(stage.connection('defer'), cdn4);
		one.data('x');
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(onSyn);
	});

	it('the request for a Fast Open cookie', async () => {
		expect(await stage.reportedAfterReset(await open(stage.connection('fastopen'), `2202${cdn4}`))).toEqual(onSyn);
	});

	it('Fast Open: the SYN creates the socket', async () => {
		const first = stage.connection('fastopen');
		first.syn({ options: '2202' });
		const [, cookie] = /(220a.{16})/.exec((await first.synAck()).options) ?? [];
		first.acknowledge();
		expect(await stage.reportedAfterReset(first)).toEqual(noOption);
		const one = stage.connection('fastopen');
		one.syn({ options: `${cookie}${cdn4}`, data: 'hello' });
		await one.synAck();
		one.acknowledge();
		expect(await stage.reportedAfterReset(one)).toEqual(onSyn);
	});

	it('SYN cookies, forced: the kernel keeps no SYN', async () => {
		const missing = (samples: readonly Sample[]) => total(samples, 'toascope_drops_total', { reason: 'syn_missing' });
		const before = missing(await cookies.daemon.metrics());
		expect(await cookies.reportedAfterReset(await open(cookies.connection('plain'), cdn4))).toEqual(noOption);
		// the missing SYN is counted
		await cookies.daemon.until((samples) => missing(samples) > before || undefined);
	});

	it('SYN cookies, forced, and the option on the ACK as well', async () => {
		const one = await open(cookies.connection('plain'), cdn4, cdn4);
		expect(await cookies.reportedAfterReset(one)).toEqual(toa('cdn4', 'ack', client4));
	});
});

describe('applications', () => {
	it('that save SYNs themselves still get them', async () => {
		const one = await open(stage.connection('saving'), cdn4);
		expect(await stage.listeners.saving.nextReport()).toEqual({ save: 2, saved: 48 });
		expect(await stage.reportedAfterReset(one)).toEqual(onSyn);
	});
});

/** What a `reporting` listener reports about its next connection. */
async function savedBy(listener: Listener | undefined, to: number) {
	(await open(stage.wire.connection({ to }), cdn4)).reset();
	return listener?.nextReport();
}

describe('listeners that started after the daemon', () => {
	it('do not save SYNs any more when the daemon has stopped', async () => {
		const port = somePorts(1);
		const daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}\n${profiles}` });
		await using listener = await Listener.start(stage.lab, '4', port, 'reporting');
		expect(await savedBy(listener, port)).toMatchObject({ save: 1 });
		await daemon.stop();
		expect(await savedBy(listener, port)).toEqual({ save: 0, saved: 0 });
	});

	it('save SYNs only if the network namespace is watched', async () => {
		const port = somePorts(1);
		const config = (netns: string) => `listeners: {ports: [${port}], netns: ${netns}}\n${profiles}\nbpf: {pin: off}`;
		await using daemon = await Daemon.start({ config: config('host') });
		await using listener = await Listener.start(stage.lab, '4', port, 'reporting');
		expect(await savedBy(listener, port)).toEqual({ save: 0, saved: 0 });
		for (const [netns, save] of [
			['all', 1],
			['host', 0],
		] as const) {
			await daemon.reload(config(netns));
			expect(await savedBy(listener, port), netns).toMatchObject({ save });
		}
	});

	it('save SYNs only while a profile is read on the SYN', async () => {
		const port = somePorts(1);
		const config = (some: string) => `listeners: {ports: [${port}]}\nprofiles: [${some}]\nbpf: {pin: off}`;
		await using daemon = await Daemon.start({ config: config('nat64') });
		await using listener = await Listener.start(stage.lab, '4', port, 'reporting');
		for (const [some, save] of [
			['nat64', 0],
			['nat64, cdn4', 1],
			['nat64', 0],
		] as const) {
			await daemon.reload(config(some));
			expect(await savedBy(listener, port), some).toMatchObject({ save });
		}
	});
});

// since Linux 6.8 each network namespace has its own limit
it.skipIf(spawnSync('unshare', ['--net', 'test', '-e', '/proc/sys/net/core/optmem_max']).status !== 0)(
	'a listener without memory for the mark that toascope saves its SYNs: they are not saved, and this is counted',
	async () => {
		await using poor = await WireStage.open(
			{ reporting: ['4', 'reporting'] },
			{ sysctls: { 'core/optmem_max': '64' }, config: [profiles] },
		);
		(await open(poor.connection('reporting'), cdn4)).reset();
		expect(await poor.listeners.reporting.nextReport()).toEqual({ save: 0, saved: 0 });
		await poor.daemon.until(
			(samples) => total(samples, 'toascope_drops_total', { reason: 'syn_not_kept' }) === 1n || undefined,
		);
	},
);

describe('listeners that started before the daemon', () => {
	const port = somePorts(3);
	const kinds = [
		{ name: 'AF_INET', kind: '4', traits: [], family: 4, to: port },
		{ name: 'dual-stack', kind: 'dual', traits: [], family: 6, to: port + 1 },
		{ name: 'reporting', kind: '4', traits: ['reporting'], family: 4, to: port + 2 },
	] as const;
	const config = [`listeners: {ports: [${port}-${port + 2}]}`, profiles].join('\n');
	const lab = (): Lab => stage.lab;
	const started: Listener[] = [];

	beforeAll(async () => {
		for (const { kind, to, traits } of kinds) started.push(await Listener.start(lab(), kind, to, ...traits));
	});

	it.each(kinds.slice(0, 2))('$name', async ({ to, family }) => {
		await using daemon = await Daemon.start({ config });
		const one = await open(stage.wire.connection({ to, family }), cdn6);
		one.reset();
		expect(await closedConnection(daemon, one.peer)).toMatchObject(toa('cdn6', 'syn', client6));
	});

	it('do not save SYNs any more when the daemon has stopped', async () => {
		const saved = () => savedBy(started[2], port + 2);
		expect(await saved()).toEqual({ save: 0, saved: 0 });
		{
			await using _ = await Daemon.start({ config });
			expect(await saved()).toMatchObject({ save: 1 });
		}
		expect(await saved()).toEqual({ save: 0, saved: 0 });
	});

	it('save no SYNs if no profile is marked, or the port or the network namespace is not watched', async () => {
		for (const other of [
			`listeners: {ports: [${port}-${port + 2}]}\nprofiles: [nat64]`,
			`listeners: {ports: [${port}]}\n${profiles}`,
			`listeners: {ports: [${port}-${port + 2}], netns: host}\n${profiles}`,
		]) {
			await using _ = await Daemon.start({ config: other });
			expect(await savedBy(started[2], port + 2)).toEqual({ save: 0, saved: 0 });
		}
	});
});

it('an option from a peer that is not trusted: the verdict is untrusted', async () => {
	const port = somePorts(1);
	await Listener.start(stage.lab, '4', port);
	await using daemon = await Daemon.start({
		config: [`listeners: {ports: [${port}]}`, profiles, `trust: ["${wireNetwork.hosts6}"]`].join('\n'),
	});
	const one = await open(stage.wire.connection({ to: port }), cdn4);
	one.reset();
	expect(await closedConnection(daemon, one.peer)).toMatchObject({ verdict: 'untrusted', client: null });
});

it('each connection is counted once', async () => {
	await stage.expectCounted();
	await cookies.expectCounted();
});
