// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope doctor` with a running daemon: whether TOA arrives, and if not, what explains it.
 */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Status } from '../../daemon/client/status.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { checkNamed, examine } from '../kit/daemon/doctor.ts';
import {
	connect,
	nat64Option,
	type OptionStage,
	onlyPortsOf,
	openOptionStage,
	trustOthers,
	trustPeers,
	unknownOption,
	untilCounted,
} from '../kit/wire/option_stage.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { wireNetwork } from '../kit/wire/wire.ts';

let stage: OptionStage;
beforeAll(async () => {
	stage = await openOptionStage();
});
afterAll(() => stage?.[Symbol.asyncDispose]());

interface Case {
	readonly trust: string;
	readonly ack?: string;
	readonly data?: string;
	readonly found?: RegExp;
	readonly advice: RegExp;
}
test.each<[string, Case]>([
	[
		'TOA arrives',
		{
			trust: trustPeers,
			ack: nat64Option(),
			found: /^3 of 3 connections in the last \d+ s have a client$/,
			advice: /^$/,
		},
	],
	[
		'the kind of an active profile, with another length',
		{
			trust: trustPeers,
			ack: unknownOption('fd', 12),
			advice: /^3 of them, from trusted networks, had an option of kind 253 and length 12, .* \(nat64 has length 20\)/,
		},
	],
	[
		'a profile that is not active, on data',
		{
			trust: trustPeers,
			data: toaOption('tencent', '192.0.2.42'),
			advice: /kind 200 and length 8, .* add tencent to profiles$/,
		},
	],
	[
		'untrusted senders',
		{
			trust: trustOthers,
			ack: nat64Option(),
			advice: /^options arrive, but from senders outside trust: see Untrusted senders$/,
		},
	],
	// on the ACK that ends the handshake, the kernel discards such a list before any program
	// sees it
	[
		'malformed option lists',
		{ trust: trustPeers, data: 'fd170000', advice: /^options arrive, but malformed: see Malformed options$/ },
	],
	[
		'balancers without an option',
		{ trust: trustPeers, advice: /^they come from trusted networks, without an option: 198\.18\.0\.1 \(3\)/ },
	],
	[
		'clients that bypass the balancer',
		{ trust: trustOthers, advice: /^they come from outside trust, bypassing the balancer: 198\.18\.0\.1 \(3\)/ },
	],
	[
		'unknown peers, since trust is empty',
		{ trust: 'trust: []', advice: /the peers are 198\.18\.0\.1 \(3\): are these your balancers/ },
	],
])('%s', async (_what, { trust, ack, data, found = /^0 of 3 /, advice }) => {
	await using daemon = await Daemon.start({ config: [onlyPortsOf(stage), trust].join('\n') });
	await connect(stage, ack, 3, data);
	await untilCounted(daemon, 3);
	const report = await examine(daemon);
	const toa = checkNamed(report, 'toa');
	expect(toa.found).toMatch(found);
	expect(toa.advice ?? '').toMatch(advice);
	expect(toa.state).toBe(toa.advice === undefined ? 'ok' : 'warn');
	expect(report).toMatchObject({ code: 0, running: true, can_run: true });
});

test('TOA arrives on 1 of 20 connections of the balancer: a warning', async () => {
	await using daemon = await Daemon.start({ config: [onlyPortsOf(stage), trustPeers].join('\n') });
	await connect(stage, nat64Option());
	await connect(stage, undefined, 19);
	await untilCounted(daemon, 20);
	expect(checkNamed(await examine(daemon), 'toa')).toMatchObject({
		state: 'warn',
		found: expect.stringMatching(/^1 of 20 connections in the last \d+ s have a client$/),
		advice: expect.stringMatching(/They send options on other connections/),
	});
});

test('TOA arrives, beside ten times as many health checks: no warning', async () => {
	await using daemon = await Daemon.start({ config: [onlyPortsOf(stage), trustPeers].join('\n') });
	await connect(stage, nat64Option(), 2);
	for (let made = 0; made < 20; made++) (await stage.connection('plain').open()).reset();
	await untilCounted(daemon, 22);
	expect(checkNamed(await examine(daemon), 'toa')).toMatchObject({
		state: 'ok',
		found: expect.stringMatching(/^2 of 2 connections .* \(health checks, not counted: 20\)$/),
	});
});

test('an option that matches no profile is reported even if other connections have a client', async () => {
	await using daemon = await Daemon.start({ config: [onlyPortsOf(stage), trustPeers].join('\n') });
	await connect(stage, nat64Option(), 40);
	await connect(stage, toaOption('tencent', '192.0.2.42'));
	await untilCounted(daemon, 41);
	const report = await examine(daemon);
	expect(checkNamed(report, 'toa').state).toBe('ok');
	expect(checkNamed(report, 'unknown_options')).toMatchObject({
		state: 'warn',
		found: expect.stringMatching(/kind 200 and length 8 on 1;/),
		advice: expect.stringMatching(/add tencent to profiles/),
	});
});

test('accept() returns before an option on the data: the listener should wait for data', async () => {
	const transparent = 'transparent: on';
	await using daemon = await Daemon.start({ config: [onlyPortsOf(stage), trustPeers, transparent].join('\n') });
	await connect(stage, undefined, 2, toaOption('toa4', '192.0.2.42'));
	await connect(stage, undefined, 2, toaOption('toa4', '192.0.2.42'), 'deferred');
	await untilCounted(daemon, 4);
	const report = await examine(daemon);
	expect(checkNamed(report, 'toa').found).toMatch(/^4 of 4 /);
	expect(checkNamed(report, 'accept_before_data').found).toContain(
		`: ${wireNetwork.server4}:${stage.listeners.plain.port} (2)`,
	);
	expect(checkNamed(report, 'accept_before_data').found).not.toContain(`:${stage.listeners.deferred.port}`);
});

test('a listener that waits for data loses an option on the bare ACK', async () => {
	await using daemon = await Daemon.start({ config: [onlyPortsOf(stage), trustPeers].join('\n') });
	await connect(stage, nat64Option(), 3, undefined, 'deferred');
	await connect(stage, nat64Option(), 3);
	await untilCounted(daemon, 6);
	const report = await examine(daemon);
	expect(checkNamed(report, 'toa')).toMatchObject({ state: 'warn', because: 'deferred_accept' });
	expect(checkNamed(report, 'deferred_accept').found).toContain(
		`: ${wireNetwork.server4}:${stage.listeners.deferred.port} (3 without an option)`,
	);
});

test('transparent does not show IPv6 clients at an AF_INET listener: the listener is reported', async () => {
	await using daemon = await Daemon.start({ config: [onlyPortsOf(stage), trustPeers, 'transparent: on'].join('\n') });
	await connect(stage, nat64Option(), 2);
	await connect(stage, toaOption('toa4', '192.0.2.42'));
	await untilCounted(daemon, 3);
	expect(checkNamed(await examine(daemon), 'transparent')).toMatchObject({
		state: 'warn',
		found: expect.stringContaining(`: ${wireNetwork.server4}:${stage.listeners.plain.port} (2 of 3)`),
		advice: expect.stringContaining('ipv6only=off'),
	});
});

test('no connections: a warning', async () => {
	await using daemon = await Daemon.start({ config: onlyPortsOf(stage) });
	const toa = checkNamed(await examine(daemon), 'toa');
	expect(toa).toMatchObject({
		state: 'warn',
		found: expect.stringMatching(/^no connection was opened in the last \d+ s$/),
	});
	expect(toa.advice).toMatch(/is its port in listeners\.ports\?$/);
});

test('conflicting options have a finding of their own, with their senders', async () => {
	await using daemon = await Daemon.start({ config: [onlyPortsOf(stage), trustPeers].join('\n') });
	await connect(stage, nat64Option());
	await connect(stage, nat64Option() + nat64Option('2001:db8::43'), 2);
	await untilCounted(daemon, 3);
	const report = await examine(daemon);
	expect(checkNamed(report, 'toa').found).toMatch(/^3 of 3 /);
	expect(checkNamed(report, 'conflict')).toMatchObject({
		state: 'warn',
		found: expect.stringMatching(/^2 .*: from 198\.18\.0\.1 \(2\)$/),
	});
});

test('TOA has stopped: a listener that had it under an earlier daemon is reported', async () => {
	const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
	const config = [onlyPortsOf(stage), trustPeers, `bpf: {pin: ${pin}}`].join('\n');
	{
		await using first = await Daemon.start({ config: `${config}\non_exit: keep` });
		await connect(stage, nat64Option(), 2);
		await untilCounted(first, 2);
	}
	await using next = await Daemon.start({ config });
	await connect(stage, undefined, 2);
	await untilCounted(next, 4);
	const report = await examine(next);
	expect(checkNamed(report, 'toa')).toMatchObject({
		state: 'warn',
		found: expect.stringMatching(/^0 of 2 .*; before, 2 had$/),
	});
	expect(checkNamed(report, 'silent_listeners').found).toBe(
		`${wireNetwork.server4}:${stage.listeners.plain.port} (0 of 2)`,
	);
	await next.stop();
	expect(existsSync(pin)).toBe(false);
});

test('scrapes of the daemon itself do not count as lost options, and are reported separately', async () => {
	await using daemon = await Daemon.start({ config: 'trust: []' });
	const own = daemon.url.replace('http://', '');
	for (let i = 0; i < 6; i++) {
		await (await fetch(`${daemon.url}/metrics`, { headers: { connection: 'close' } })).text();
	}
	// each response waits for a collection: the first includes all scrapes, unless they close late
	// on a busy machine
	let status: Status;
	do status = await daemon.json<Status>('/v1/status?fresh=on');
	while (Number(status.own_http?.recent.lost_options ?? 0) < 6);
	expect(status.own_http?.listeners).toEqual([own]);
	expect(status.recent?.listeners.map(({ listener }) => listener)).toContain(own);
	const report = await examine(daemon);
	expect(checkNamed(report, 'toa').found).toMatch(
		new RegExp(`\\(toascope's own HTTP at ${own}, not counted: \\d+\\)$`),
	);
	expect(report.checks.find(({ name }) => name === 'lost_options')?.found ?? '').not.toContain(own);
});
