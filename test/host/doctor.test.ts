// SPDX-License-Identifier: Apache-2.0
/** `toascope doctor` beside a daemon: whether TOA arrives, and if not, what fits. Connections are made by hand, segment by segment. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { native } from '../../daemon/capture/native.ts';
import type { Check } from '../../daemon/doctor/check.ts';
import type { Status } from '../../daemon/doctor/status.ts';
import { toascope } from '../fixtures/command.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { total } from '../fixtures/metrics.ts';
import { toaOption } from '../fixtures/toa_option.ts';
import { wireNetwork } from '../fixtures/wire.ts';
import { WireStage } from '../fixtures/wire_stage.ts';
import { asNobody, unusable } from '../fixtures/wrong_host.ts';

const client = '2001:db8::42';
const option = (address = client) => toaOption('nat64', address);
/** Of a kind and length that no profile has. */
const foreign = (kind: string, length: number) =>
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

/** Connections with options on the ACK that ends the handshake, or on the first data; then the end. */
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

/** Waits until the daemon shows so many connections, closed and judged. */
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

describe('whether TOA arrives, and if not, what fits', () => {
	interface Case {
		readonly trust: string;
		readonly ack?: string;
		readonly data?: string;
		readonly found?: RegExp;
		readonly advice: RegExp;
	}
	test.each<[string, Case]>([
		[
			'it does',
			{
				trust: trusted,
				ack: option(),
				found: /^3 of 3 connections of the last \d+ s have their client$/,
				advice: /^$/,
			},
		],
		[
			'the kind of an active profile, in another length',
			{
				trust: trusted,
				ack: foreign('fd', 12),
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
			'senders outside of trust',
			{
				trust: elsewhere,
				ack: option(),
				advice: /^options come, from senders outside of trust: see Untrusted senders$/,
			},
		],
		// on the ACK that ends the handshake the kernel throws such a list away before anybody sees it
		[
			'malformed lists',
			{ trust: trusted, data: 'fd170000', advice: /^options come, but broken: see Malformed options$/ },
		],
		[
			'balancers without an option',
			{ trust: trusted, advice: /^they come from trusted networks, without an option: 198\.18\.0\.1 \(3\)/ },
		],
		[
			'clients past the balancer',
			{ trust: elsewhere, advice: /^they come from outside of trust, past the balancer: 198\.18\.0\.1 \(3\)/ },
		],
		[
			'peers of which nobody knows what they are',
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

	test('it does for 1 of 20 connections of the balancer: that is not well', async () => {
		await using daemon = await Daemon.start({ config: [narrowed(), trusted].join('\n') });
		await connect(option());
		await connect(undefined, 19);
		await counted(daemon, 20);
		expect(named(await examine(daemon), 'toa')).toMatchObject({
			state: 'warn',
			found: expect.stringMatching(/^1 of 20 connections of the last \d+ s have their client$/),
			advice: expect.stringMatching(/They send options on other connections/),
		});
	});

	test('it does, beside ten times as many health checks', async () => {
		await using daemon = await Daemon.start({ config: [narrowed(), trusted].join('\n') });
		await connect(option(), 2);
		for (let made = 0; made < 20; made++) (await stage.connection('plain').open()).reset();
		await counted(daemon, 22);
		expect(named(await examine(daemon), 'toa')).toMatchObject({
			state: 'ok',
			found: expect.stringMatching(/^2 of 2 connections .* \(health checks apart: 20\)$/),
		});
	});

	test('an option that no profile takes is named where others are believed', async () => {
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

	test('accept() returns before an option on the data: the listener is to wait for data', async () => {
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

	test('IPv6 clients at an AF_INET listener stay the balancer, with transparent: it is named', async () => {
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

	test('nothing', async () => {
		await using daemon = await Daemon.start({ config: narrowed() });
		const toa = named(await examine(daemon), 'toa');
		expect(toa).toMatchObject({
			state: 'warn',
			found: expect.stringMatching(/^no connection was opened in the last \d+ s$/),
		});
		expect(toa.advice).toMatch(/is its port in listeners\.ports\?$/);
	});

	test('doubts have lines of their own, with who sends what', async () => {
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

	test('it stopped: a listener that had it in the days of another daemon', async () => {
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

test('scrapes of the daemon itself are no options lost: they are counted, and left out', async () => {
	await using daemon = await Daemon.start({ config: 'trust: []' });
	const own = daemon.url.replace('http://', '');
	for (let i = 0; i < 6; i++) {
		await (await fetch(`${daemon.url}/metrics`, { headers: { connection: 'close' } })).text();
	}
	// each answer waits for a collection: the first has them, unless their ends come late on a busy machine
	let status: Status;
	do status = await daemon.json<Status>('/v1/status?fresh=on');
	while (Number(status.own_http?.recent.lost_options ?? 0) < 6);
	expect(status.own_http?.listeners).toEqual([own]);
	expect(status.recent?.listeners.map(({ listener }) => listener)).toContain(own);
	const report = await examine(daemon);
	expect(named(report, 'toa').found).toMatch(new RegExp(`\\(to ${own}, toascope itself, apart: \\d+\\)$`));
	expect(report.checks.find(({ name }) => name === 'lost_options')?.found ?? '').not.toContain(own);
});

describe('which daemon, and with what', () => {
	test('a text of few lines, the worst first, with the findings of --json', async () => {
		await using daemon = await Daemon.start({ config: narrowed() });
		const { checks } = await examine(daemon);
		const { code, out } = await toascope(['doctor', '--config', daemon.configFile]);
		const lines = out.trimEnd().split('\n');
		expect(code).toBe(0);
		expect(lines.length).toBeLessThanOrEqual(30);
		expect(lines.at(-1)).toMatch(/^toascope runs, \d+ warnings?$/);
		const marks = lines.map((line) => /^(FAIL|WARN|ok) /.exec(line)?.[1]).filter((mark) => mark !== undefined);
		expect(marks).toEqual(marks.toSorted((a, b) => 'FAIL WARN ok'.indexOf(a) - 'FAIL WARN ok'.indexOf(b)));
		const quick = /^no connection was opened in the last \d+ s$/;
		for (const { name, found } of checks) {
			if (!name.startsWith('feature.') && !quick.test(found)) expect(out).toContain(found);
		}
		expect(out).not.toContain('\u001b');
	});

	test('the file is that of the daemon, however it was started', async () => {
		await using daemon = await Daemon.start({ config: narrowed(), env: { TOASCOPE_SOCKOPT: 'off' } });
		// where daemons are by default nobody answers: the environment tells of the socket
		const { out } = await toascope(['doctor', '--json'], { env: { TOASCOPE_HTTP_SOCKET: daemon.socket } });
		const report = JSON.parse(out) as Report;
		expect(named(report, 'configuration')).toMatchObject({ state: 'ok', found: daemon.configFile });
		expect(named(report, 'reload').state).toBe('ok');
		expect(named(report, 'getsockopt').found).toBe('off in the configuration (sockopt)');
		expect(named(report, 'scope').found).toContain(String(stage.listeners.plain.port));
	});

	test('a user without privileges learns as much', async ({ skip }) => {
		const by = asNobody();
		const reason = unusable(by);
		skip(reason !== undefined, reason);
		await using daemon = await Daemon.start({ config: [narrowed(), trusted].join('\n') });
		await connect(option());
		await counted(daemon, 1);
		// neither the file nor the socket is for this user to read
		chmodSync(daemon.configFile, 0o600);
		const listen = new URL(daemon.url).host;
		const env = { TOASCOPE_HTTP_SOCKET: daemon.socket, TOASCOPE_HTTP_LISTEN: listen };
		const { code, out } = await toascope(['doctor', '--json'], { by, env });
		const report = JSON.parse(out) as Report;
		expect({ code, ...report, checks: [] }).toMatchObject({ code: 0, running: true, can_run: true });
		expect(named(report, 'toa').found).toMatch(/^1 of 1 /);
		expect(named(report, 'privileges')).toMatchObject({ state: 'ok', found: expect.stringMatching(/lacks CAP_BPF/) });
		expect(named(report, 'configuration').found).toBe(`${daemon.configFile} (not for this user to read)`);
		const features = report.checks.filter(({ name }) => name.startsWith('feature.'));
		const names = features.map(({ name }) => name.replace('feature.', ''));
		expect(names.toSorted()).toEqual(Object.keys(native().probe().features).toSorted());
	});

	test('a file that is gone would keep the daemon from starting again: 2', async () => {
		await using daemon = await Daemon.start({ config: narrowed() });
		rmSync(daemon.configFile);
		const env = { TOASCOPE_HTTP_SOCKET: daemon.socket };
		const { code, out } = await toascope(['doctor'], { env });
		expect(code).toBe(2);
		expect(out).toMatch(/^FAIL {2}Configuration .*no such file or directory$/m);
		expect(out).toMatch(/\ntoascope runs, and would not start again: 1 FAIL/);
	});
});

test('/v1/status says what is in force, without passwords, and what the last minutes brought', async () => {
	await using daemon = await Daemon.start({
		config: [narrowed(), trusted, 'otel: {endpoint: "http://me:secret@127.0.0.1:1/", spans: off}'].join('\n'),
		env: { TOASCOPE_CLIENTS_IDLE: '1 min' },
	});
	await connect(option(), 2);
	await connect(foreign('fd', 12));
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

test('options that no profile takes are counted for trusted senders alone: others cannot use up the places', async () => {
	const config = (trust: string) => `${narrowed()}\n${trust}\nbpf: {pin: off}\nlog: {format: json, level: debug}`;
	await using daemon = await Daemon.start({ config: config(elsewhere) });
	const kinds = 70;
	for (let kind = 100; kind < 100 + kinds; kind++) await connect(foreign(kind.toString(16), 4));
	await counted(daemon, kinds);
	expect((await daemon.json<Status>('/v1/status')).recent).toMatchObject({ unknown_options: [], drops: {} });
	await daemon.reload(config(trusted));
	await connect(foreign('fd', 12));
	await counted(daemon, kinds + 1);
	expect((await daemon.json<Status>('/v1/status')).recent).toMatchObject({
		unknown_options: [{ kind: 253, length: 12, connections: '1' }],
	});
});

test('right after connections the daemon tells of them, where it is asked for a fresh collection', async () => {
	await using daemon = await Daemon.start({ config: `${narrowed()}\n${trusted}` });
	for (let count = 1; count <= 5; count++) {
		await connect(option());
		const { total } = await daemon.json<{ total: { opened: string } }>('/v1/status?fresh=on');
		expect(total.opened).toBe(String(count));
	}
	expect(named(await examine(daemon), 'toa').found).toMatch(/^5 of 5 /);
});

// the limit is each network namespace's own since Linux 6.8
test.skipIf(spawnSync('unshare', ['--net', 'test', '-e', '/proc/sys/net/core/optmem_max']).status !== 0)(
	'net.core.optmem_max that is too small in a network namespace: connections beyond the table are not seen, and why is told',
	async () => {
		await using poor = await WireStage.open(
			{ plain: ['4'] },
			{ sysctls: { 'core/optmem_max': '300' }, config: ['connections: {max: 1}'] },
		);
		// the second one finds the table full of the first, and its socket without memory for it
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
