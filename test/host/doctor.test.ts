// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope doctor` with a running daemon: whether TOA arrives, and if not, what explains it. The
 * connections are made segment by segment.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Status } from '../../daemon/client/status.ts';
import type { Check } from '../../daemon/doctor/check.ts';
import { native } from '../../native/binding.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { asNobody, unusable } from '../kit/daemon/wrong_host.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { wireNetwork } from '../kit/wire/wire.ts';
import { WireStage } from '../kit/wire/wire_stage.ts';

const client = '2001:db8::42';
const option = (address = client) => toaOption('nat64', address);
/** An option of a kind and length that no profile has. */
const unknownOption = (kind: string, length: number) =>
	`${kind}${length.toString(16).padStart(2, '0')}${'00'.repeat(length - 2)}`;
const host = '198.18.0.1';
const trusted = `trust: [${wireNetwork.hosts4}]`;
const elsewhere = 'trust: [203.0.113.0/24]';

interface Report {
	readonly running: boolean;
	readonly can_run: boolean;
	readonly checks: readonly Check[];
}

let stage: WireStage<'plain' | 'deferred'>;
beforeAll(async () => {
	stage = await WireStage.open({ plain: ['4'], deferred: ['4', 'defer'] });
});
afterAll(() => stage?.[Symbol.asyncDispose]());

const narrowed = () => `listeners: {ports: [${stage.listeners.plain.port}, ${stage.listeners.deferred.port}]}`;

/**
 * Makes connections with an option on the ACK that ends the handshake, or on the first data, and
 * resets them.
 */
async function connect(
	ack: string | undefined,
	count = 1,
	data?: string,
	to: 'plain' | 'deferred' = 'plain',
): Promise<void> {
	for (let made = 0; made < count; made++) {
		const connection = await stage.connection(to).open(ack);
		connection.data('x', { options: data });
		await connection.acknowledged(1);
		connection.reset();
	}
	await stage.wire.handled();
}

/** Waits until the daemon shows this many connections as closed, and with a verdict. */
async function counted(daemon: Daemon, count: number): Promise<void> {
	await daemon.until((samples) => {
		const sum = (name: string) =>
			samples.filter((sample) => sample.name === name).reduce((total, { value }) => total + Number(value), 0);
		return (
			(sum('toascope_connections_closed_total') >= count && sum('toascope_handshakes_total') >= count) || undefined
		);
	});
}

async function examine(
	daemon: Daemon,
	...args: string[]
): Promise<Report & { code: Awaited<ReturnType<typeof toascope>>['code'] }> {
	const { code, out, err } = await toascope(['doctor', '--json', '--config', daemon.configFile, ...args]);
	expect(err).toBe('');
	return { code, ...(JSON.parse(out) as Report) };
}

function named(report: Report, name: string): Check {
	const found = report.checks.find((check) => check.name === name);
	if (found === undefined) throw new Error(`no check ${name}: ${JSON.stringify(report)}`);
	return found;
}

describe('whether TOA arrives, and if not, what explains it', () => {
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
				trust: trusted,
				ack: option(),
				found: /^3 of 3 connections in the last \d+ s have a client$/,
				advice: /^$/,
			},
		],
		[
			'the kind of an active profile, with another length',
			{
				trust: trusted,
				ack: unknownOption('fd', 12),
				advice:
					/^3 of them, from trusted networks, had an option of kind 253 and length 12, .* \(nat64 has length 20\)/,
			},
		],
		[
			'a profile that is not active, on data',
			{
				trust: trusted,
				data: toaOption('tencent', '192.0.2.42'),
				advice: /kind 200 and length 8, .* add tencent to profiles$/,
			},
		],
		[
			'untrusted senders',
			{
				trust: elsewhere,
				ack: option(),
				advice: /^options arrive, but from senders outside trust: see Untrusted senders$/,
			},
		],
		// on the ACK that ends the handshake, the kernel discards such a list before any program
		// sees it
		[
			'malformed option lists',
			{ trust: trusted, data: 'fd170000', advice: /^options arrive, but malformed: see Malformed options$/ },
		],
		[
			'balancers without an option',
			{ trust: trusted, advice: /^they come from trusted networks, without an option: 198\.18\.0\.1 \(3\)/ },
		],
		[
			'clients that bypass the balancer',
			{ trust: elsewhere, advice: /^they come from outside trust, bypassing the balancer: 198\.18\.0\.1 \(3\)/ },
		],
		[
			'unknown peers, since trust is empty',
			{ trust: 'trust: []', advice: /the peers are 198\.18\.0\.1 \(3\): are these your balancers/ },
		],
	])('%s', async (_what, { trust, ack, data, found = /^0 of 3 /, advice }) => {
		await using daemon = await Daemon.start({ config: [narrowed(), trust].join('\n') });
		await connect(ack, 3, data);
		await counted(daemon, 3);
		const report = await examine(daemon);
		const toa = named(report, 'toa');
		expect(toa.found).toMatch(found);
		expect(toa.advice ?? '').toMatch(advice);
		expect(toa.state).toBe(toa.advice === undefined ? 'ok' : 'warn');
		expect(report).toMatchObject({ code: 0, running: true, can_run: true });
	});

	test('TOA arrives on 1 of 20 connections of the balancer: a warning', async () => {
		await using daemon = await Daemon.start({ config: [narrowed(), trusted].join('\n') });
		await connect(option());
		await connect(undefined, 19);
		await counted(daemon, 20);
		expect(named(await examine(daemon), 'toa')).toMatchObject({
			state: 'warn',
			found: expect.stringMatching(/^1 of 20 connections in the last \d+ s have a client$/),
			advice: expect.stringMatching(/They send options on other connections/),
		});
	});

	test('TOA arrives, beside ten times as many health checks: no warning', async () => {
		await using daemon = await Daemon.start({ config: [narrowed(), trusted].join('\n') });
		await connect(option(), 2);
		for (let made = 0; made < 20; made++) (await stage.connection('plain').open()).reset();
		await counted(daemon, 22);
		expect(named(await examine(daemon), 'toa')).toMatchObject({
			state: 'ok',
			found: expect.stringMatching(/^2 of 2 connections .* \(health checks, not counted: 20\)$/),
		});
	});

	test('an option that matches no profile is reported even if other connections have a client', async () => {
		await using daemon = await Daemon.start({ config: [narrowed(), trusted].join('\n') });
		await connect(option(), 40);
		await connect(toaOption('tencent', '192.0.2.42'));
		await counted(daemon, 41);
		const report = await examine(daemon);
		expect(named(report, 'toa').state).toBe('ok');
		expect(named(report, 'unknown_options')).toMatchObject({
			state: 'warn',
			found: expect.stringMatching(/kind 200 and length 8 on 1;/),
			advice: expect.stringMatching(/add tencent to profiles/),
		});
	});

	test('accept() returns before an option on the data: the listener should wait for data', async () => {
		const transparent = 'transparent: on';
		await using daemon = await Daemon.start({ config: [narrowed(), trusted, transparent].join('\n') });
		await connect(undefined, 2, toaOption('toa4', '192.0.2.42'));
		await connect(undefined, 2, toaOption('toa4', '192.0.2.42'), 'deferred');
		await counted(daemon, 4);
		const report = await examine(daemon);
		expect(named(report, 'toa').found).toMatch(/^4 of 4 /);
		expect(named(report, 'accept_before_data').found).toContain(
			`: ${wireNetwork.server4}:${stage.listeners.plain.port} (2)`,
		);
		expect(named(report, 'accept_before_data').found).not.toContain(`:${stage.listeners.deferred.port}`);
	});

	test('a listener that waits for data loses an option on the bare ACK', async () => {
		await using daemon = await Daemon.start({ config: [narrowed(), trusted].join('\n') });
		await connect(option(), 3, undefined, 'deferred');
		await connect(option(), 3);
		await counted(daemon, 6);
		const report = await examine(daemon);
		expect(named(report, 'toa')).toMatchObject({ state: 'warn', because: 'deferred_accept' });
		expect(named(report, 'deferred_accept').found).toContain(
			`: ${wireNetwork.server4}:${stage.listeners.deferred.port} (3 without an option)`,
		);
	});

	test('transparent does not show IPv6 clients at an AF_INET listener: the listener is reported', async () => {
		await using daemon = await Daemon.start({ config: [narrowed(), trusted, 'transparent: on'].join('\n') });
		await connect(option(), 2);
		await connect(toaOption('toa4', '192.0.2.42'));
		await counted(daemon, 3);
		expect(named(await examine(daemon), 'transparent')).toMatchObject({
			state: 'warn',
			found: expect.stringContaining(`: ${wireNetwork.server4}:${stage.listeners.plain.port} (2 of 3)`),
			advice: expect.stringContaining('ipv6only=off'),
		});
	});

	test('no connections: a warning', async () => {
		await using daemon = await Daemon.start({ config: narrowed() });
		const toa = named(await examine(daemon), 'toa');
		expect(toa).toMatchObject({
			state: 'warn',
			found: expect.stringMatching(/^no connection was opened in the last \d+ s$/),
		});
		expect(toa.advice).toMatch(/is its port in listeners\.ports\?$/);
	});

	test('conflicting options have a finding of their own, with their senders', async () => {
		await using daemon = await Daemon.start({ config: [narrowed(), trusted].join('\n') });
		await connect(option());
		await connect(option() + option('2001:db8::43'), 2);
		await counted(daemon, 3);
		const report = await examine(daemon);
		expect(named(report, 'toa').found).toMatch(/^3 of 3 /);
		expect(named(report, 'conflict')).toMatchObject({
			state: 'warn',
			found: expect.stringMatching(/^2 .*: from 198\.18\.0\.1 \(2\)$/),
		});
	});

	test('TOA has stopped: a listener that had it under an earlier daemon is reported', async () => {
		const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
		const config = [narrowed(), trusted, `bpf: {pin: ${pin}}`].join('\n');
		{
			await using first = await Daemon.start({ config: `${config}\non_exit: keep` });
			await connect(option(), 2);
			await counted(first, 2);
		}
		await using next = await Daemon.start({ config });
		await connect(undefined, 2);
		await counted(next, 4);
		const report = await examine(next);
		expect(named(report, 'toa')).toMatchObject({
			state: 'warn',
			found: expect.stringMatching(/^0 of 2 .*; before, 2 had$/),
		});
		expect(named(report, 'silent_listeners').found).toBe(
			`${wireNetwork.server4}:${stage.listeners.plain.port} (0 of 2)`,
		);
		await next.stop();
		expect(existsSync(pin)).toBe(false);
	});
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
	expect(named(report, 'toa').found).toMatch(new RegExp(`\\(toascope's own HTTP at ${own}, not counted: \\d+\\)$`));
	expect(report.checks.find(({ name }) => name === 'lost_options')?.found ?? '').not.toContain(own);
});

describe('which daemon and which configuration', () => {
	test('the text is short, has the worst findings first, and all findings of --json', async () => {
		await using daemon = await Daemon.start({ config: narrowed() });
		const { checks } = await examine(daemon);
		const { code, out } = await toascope(['doctor', '--config', daemon.configFile]);
		const lines = out.trimEnd().split('\n');
		expect(code).toBe(0);
		expect(lines.length).toBeLessThanOrEqual(30);
		expect(lines.at(-1)).toMatch(/^toascope runs, \d+ warnings?$/);
		const marks = lines.map((line) => /^(FAIL|WARN|ok) /.exec(line)?.[1]).filter((mark) => mark !== undefined);
		expect(marks).toEqual(marks.toSorted((a, b) => 'FAIL WARN ok'.indexOf(a) - 'FAIL WARN ok'.indexOf(b)));
		const changing = /^no connection was opened in the last \d+ s$/;
		for (const { name, found } of checks) {
			if (!name.startsWith('feature.') && !changing.test(found)) expect(out).toContain(found);
		}
		expect(out).not.toContain('\u001b');
	});

	test('the configuration file is that of the daemon, however it was started', async () => {
		await using daemon = await Daemon.start({ config: narrowed(), env: { TOASCOPE_SOCKOPT: 'off' } });
		// no daemon is listening at the default socket: the environment names the one to ask
		const { out } = await toascope(['doctor', '--json'], { env: { TOASCOPE_HTTP_SOCKET: daemon.socket } });
		const report = JSON.parse(out) as Report;
		expect(named(report, 'configuration')).toMatchObject({ state: 'ok', found: daemon.configFile });
		expect(named(report, 'reload').state).toBe('ok');
		expect(named(report, 'getsockopt').found).toBe('off in the configuration (sockopt)');
		expect(named(report, 'scope').found).toContain(String(stage.listeners.plain.port));
	});

	test('a user without privileges gets the same findings', async ({ skip }) => {
		const by = asNobody();
		const reason = unusable(by);
		skip(reason !== undefined, reason);
		await using daemon = await Daemon.start({ config: [narrowed(), trusted].join('\n') });
		await connect(option());
		await counted(daemon, 1);
		// this user can read neither the file nor the socket
		chmodSync(daemon.configFile, 0o600);
		const listen = new URL(daemon.url).host;
		const env = { TOASCOPE_HTTP_SOCKET: daemon.socket, TOASCOPE_HTTP_LISTEN: listen };
		const { code, out } = await toascope(['doctor', '--json'], { by, env });
		const report = JSON.parse(out) as Report;
		expect({ code, ...report, checks: [] }).toMatchObject({ code: 0, running: true, can_run: true });
		expect(named(report, 'toa').found).toMatch(/^1 of 1 /);
		expect(named(report, 'privileges')).toMatchObject({ state: 'ok', found: expect.stringMatching(/lacks CAP_BPF/) });
		expect(named(report, 'configuration').found).toBe(`${daemon.configFile} (not readable by this user)`);
		const features = report.checks.filter(({ name }) => name.startsWith('feature.'));
		const names = features.map(({ name }) => name.replace('feature.', ''));
		expect(names.toSorted()).toEqual(Object.keys(native().probe().features).toSorted());
	});

	test('a missing file would prevent the daemon from starting again: exit code 2', async () => {
		await using daemon = await Daemon.start({ config: narrowed() });
		rmSync(daemon.configFile);
		const env = { TOASCOPE_HTTP_SOCKET: daemon.socket };
		const { code, out } = await toascope(['doctor'], { env });
		expect(code).toBe(2);
		expect(out).toMatch(/^FAIL {2}Configuration .*no such file or directory$/m);
		expect(out).toMatch(/\ntoascope runs, but would not start again: 1 FAIL/);
	});
});

test('/v1/status shows the active settings, without passwords, and the counts of the last minutes', async () => {
	await using daemon = await Daemon.start({
		config: [narrowed(), trusted, 'otel: {endpoint: "http://me:secret@127.0.0.1:1/", spans: off}'].join('\n'),
		env: { TOASCOPE_CLIENTS_IDLE: '1 min' },
	});
	await connect(option(), 2);
	await connect(unknownOption('fd', 12));
	await counted(daemon, 3);
	const text = await (await fetch(`${daemon.url}/v1/status?peers=on`)).text();
	expect(text).not.toContain('secret');
	const status = JSON.parse(text) as Status;
	expect(status.config).toMatchObject({
		file: daemon.configFile,
		variables: ['TOASCOPE_CLIENTS_IDLE'],
		values: { trust: [wireNetwork.hosts4], 'clients.idle': '1 min', 'otel.endpoint': 'http://127.0.0.1:1/' },
	});
	const counts = {
		opened: '3',
		toa: '2',
		none: '1',
		malformed: '0',
		untrusted: '0',
		conflict: '0',
		health_checks: '0',
		lost_options: '1',
		hidden_by_family: '0',
		options_syn: '0',
		options_ack: '2',
		options_data: '0',
	};
	expect(status.total).toEqual(counts);
	expect(status.recent).toMatchObject({
		total: counts,
		listeners: [{ listener: `${wireNetwork.server4}:${stage.listeners.plain.port}`, ...counts, believed_before: '0' }],
		unknown_options: [{ kind: 253, length: 12, connections: '1' }],
	});
	const listener = `${wireNetwork.server4}:${stage.listeners.plain.port}`;
	expect(status.peers).toEqual({
		connections: 3,
		busiest: [
			{ address: host, verdict: 'toa', listener, trusted: true, connections: 2 },
			{ address: host, verdict: 'none', listener, trusted: true, connections: 1 },
		],
		listening: [
			{
				local: `0.0.0.0:${stage.listeners.plain.port}`,
				pid: expect.any(Number),
				comm: 'listener',
				defers_accept: false,
			},
			{
				local: `0.0.0.0:${stage.listeners.deferred.port}`,
				pid: expect.any(Number),
				comm: 'listener',
				defers_accept: true,
			},
		],
	});
	const plain = await daemon.json<object>('/v1/status');
	expect(plain).not.toHaveProperty('peers');
});

test('options that match no profile are counted only for trusted senders: others cannot use up the slots', async () => {
	const config = (trust: string) => `${narrowed()}\n${trust}\nbpf: {pin: off}\nlog: {format: json, level: debug}`;
	await using daemon = await Daemon.start({ config: config(elsewhere) });
	const kinds = 70;
	for (let kind = 100; kind < 100 + kinds; kind++) await connect(unknownOption(kind.toString(16), 4));
	await counted(daemon, kinds);
	expect((await daemon.json<Status>('/v1/status')).recent).toMatchObject({ unknown_options: [], drops: {} });
	await daemon.reload(config(trusted));
	await connect(unknownOption('fd', 12));
	await counted(daemon, kinds + 1);
	expect((await daemon.json<Status>('/v1/status')).recent).toMatchObject({
		unknown_options: [{ kind: 253, length: 12, connections: '1' }],
	});
});

test('a request for a fresh collection shows connections right after they were made', async () => {
	await using daemon = await Daemon.start({ config: `${narrowed()}\n${trusted}` });
	for (let count = 1; count <= 5; count++) {
		await connect(option());
		const { total } = await daemon.json<{ total: { opened: string } }>('/v1/status?fresh=on');
		expect(total.opened).toBe(String(count));
	}
	expect(named(await examine(daemon), 'toa').found).toMatch(/^5 of 5 /);
});

// since Linux 6.8 each network namespace has a limit of its own
test.skipIf(spawnSync('unshare', ['--net', 'test', '-e', '/proc/sys/net/core/optmem_max']).status !== 0)(
	'net.core.optmem_max too small in a network namespace: the doctor says why connections are not recorded',
	async () => {
		await using poor = await WireStage.open(
			{ plain: ['4'] },
			{ sysctls: { 'core/optmem_max': '300' }, config: ['connections: {max: 1}'] },
		);
		// the first connection fills the table, and the socket of the second has no memory for its
		// state
		const both = [await poor.connection('plain').open(option()), await poor.connection('plain').open(option())];
		for (const one of both) one.reset();
		await poor.wire.handled();
		await poor.daemon.until(
			(samples) => total(samples, 'toascope_drops_total', { reason: 'socket_storage' }) > 0n || undefined,
		);
		const { state, advice } = named(await examine(poor.daemon), 'drops');
		expect(state).toBe('warn');
		expect(advice).toMatch(/^net\.core\.optmem_max is 300 in \/\S+: .* sysctl -w net\.core\.optmem_max=131072/);
	},
);
