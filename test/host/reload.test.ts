// SPDX-License-Identifier: Apache-2.0
/** SIGHUP: a valid configuration is in force from then on, an invalid one changes nothing. */
import { mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findCgroup2, readMounts } from '../../daemon/host/mounts.ts';
import { network } from '../../daemon/lab/lab.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { attachExclusively, attachedAt, pinnedLink } from '../kit/kernel/bpf_objects.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { noToaError } from '../kit/wire/no_toa_error.ts';
import { clientAddress, isGateway, Stage, somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(2);
const ipv4 = `${network.server}:${port}`;
const isDual = (name = '') => name.endsWith(`:${port + 1}`);

let stage: Stage;
let daemon: Daemon;
let base = '';

const config = (...lines: string[]) => [...lines, base, ''].join('\n');
const both = `listeners: {ports: [${port}, ${port + 1}]}`;

beforeAll(async () => {
	stage = await Stage.open(port);
	daemon = await Daemon.start({ config: both });
	base = `http: {listen: "127.0.0.1:0", socket: ${daemon.socket}}\nbpf: {pin: off}\nlog: {format: json, level: debug}`;
});
afterAll(async () => {
	await daemon?.[Symbol.asyncDispose]();
	await stage?.[Symbol.asyncDispose]();
});

/** The address that accept() returns on the dual-stack listener. */
async function accepted(): Promise<string> {
	await using one = await stage.connect('AF_INET6 dual-stack', 'nat64');
	return one.accepted.address;
}

async function gauge(name: string): Promise<string | undefined> {
	return (await daemon.metrics()).find((sample) => sample.name === `toascope_config_last_reload_${name}`)?.value;
}

// this test must be the first, while all counters are zero
test('a change of trust applies to the connections that follow', async () => {
	const connect = async () => {
		await using one = await stage.connect('AF_INET', 'nat64');
		return (await one.probe.getsockopt(0, 4096, 20)).error;
	};
	expect(await connect()).toBe('');
	await daemon.reload(config(both, 'trust: [203.0.113.0/24, "2001:db8::/32"]'));
	expect(await connect()).toBe(noToaError);
	await daemon.reload(config(both, `trust: ["${network.pool}"]`));
	expect(await connect()).toBe('');
	await daemon.until((samples) => {
		const of = (result: string) => total(samples, 'toascope_handshakes_total', { listener: ipv4, result });
		return (of('toa') === 2n && of('untrusted') === 1n) || undefined;
	});
	await daemon.reload(config(both));
});

test('transparent is switched on and off', async () => {
	expect(isGateway(await accepted())).toBe(true);
	expect(await daemon.reload(config(both, 'transparent: on'))).toMatchObject({
		msg: 'configuration reloaded',
		changed: ['transparent.enabled: off -> on'],
	});
	expect(await accepted()).toBe(clientAddress);
	expect((await daemon.reload(config(both, `transparent: {enabled: on, ports: [${port}]}`))).level).toBe(30);
	expect(isGateway(await accepted())).toBe(true);
	expect((await daemon.reload(config(both))).level).toBe(30);
	expect(isGateway(await accepted())).toBe(true);
});

test('an invalid configuration leaves the old one in force, and is reported in metrics, status and log', async () => {
	await daemon.reload(config(both, 'transparent: on'));
	expect(await gauge('successful')).toBe('1');
	const at = await gauge('success_timestamp_seconds');
	for (const wrong of ['transparent: maybe', 'nonsense: 1', 'trust: [10.0.0.0/33]', '"']) {
		const line = await daemon.reload(config(both, wrong));
		expect(line).toMatchObject({ level: 50, err: { code: 'CONFIG_INVALID' } });
		expect(await gauge('successful')).toBe('0');
		expect(await gauge('success_timestamp_seconds')).toBe(at);
		expect(await daemon.json('/v1/status')).toMatchObject({ transparent: true, config_reload: { successful: false } });
		expect(await accepted()).toBe(clientAddress);
	}
	const two = await daemon.reload(config(both, 'nonsense: 1', 'more: 2'));
	expect(two.err).toMatchObject({ problems: [expect.stringContaining('nonsense'), expect.stringContaining('more')] });
	await daemon.reload(config(both));
	expect(await gauge('successful')).toBe('1');
});

test.each([
	['is gone', (file: string) => rmSync(file), 'no such file or directory'],
	[
		'is a directory',
		(file: string) => {
			rmSync(file);
			mkdirSync(file);
		},
		'is a directory',
	],
])('if the file %s, the old configuration stays in force', async (_what, spoil, reason) => {
	await daemon.reload(config(both, 'transparent: on'));
	spoil(daemon.configFile);
	const from = daemon.log.length;
	daemon.child.kill('SIGHUP');
	const line = await daemon.logged(/reload/, from);
	expect(line).toMatchObject({
		msg: 'reload failed: the previous configuration stays in force',
		err: { code: 'CONFIG_UNREADABLE', message: `${daemon.configFile}: ${reason}` },
	});
	expect(await gauge('successful')).toBe('0');
	expect(await daemon.json('/v1/status')).toMatchObject({ transparent: true, config_reload: { successful: false } });
	expect(await accepted()).toBe(clientAddress);
	rmSync(daemon.configFile, { recursive: true, force: true });
	await daemon.reload(config(both));
	expect(await gauge('successful')).toBe('1');
});

test('if the kernel refuses the new configuration, the whole old one stays in force', async () => {
	const cgroup = join(findCgroup2(readMounts()) ?? '', `toascope-test-${process.pid}`);
	const pins = `/sys/fs/bpf/toascope-test-${process.pid}`;
	mkdirSync(cgroup);
	try {
		await using _elsewhere = await Daemon.start({ config: `${both}\nbpf: {pin: ${pins}}` });
		const own = [both, `cgroup: ${cgroup}`].join('\n');
		await using refused = await Daemon.start({ config: `${own}\nsockopt: off` });
		const attached = attachedAt(cgroup);
		const detachExclusive = attachExclusively(pinnedLink(pins, 'toascope_getsockopt'), 'getsockopt', cgroup);
		try {
			const line = await refused.reload(
				`${own}\ntrust: [192.0.2.0/24]\nsockopt: on\nbpf: {pin: off}\nlog: {format: json}`,
			);
			expect(line.err).toMatchObject({ code: 'BPF_FAILED', hint: expect.stringContaining('attached exclusively') });
			expect(await refused.json('/v1/status')).toMatchObject({ sockopt: false, trust: [] });
			const samples = await refused.metrics();
			expect(samples.find(({ name }) => name === 'toascope_config_last_reload_successful')?.value).toBe('0');
		} finally {
			detachExclusive();
		}
		expect(attachedAt(cgroup)).toEqual(attached);
	} finally {
		rmdirSync(cgroup);
	}
});

test('sockopt is switched on and off', async () => {
	await using one = await stage.connect('AF_INET', 'nat64');
	const ask = async () => (await one.probe.getsockopt(0, 4096, 20)).error;
	expect(await ask()).toBe('');
	await daemon.reload(config(both, 'sockopt: off'));
	// EINVAL is the answer of another toascope on this machine
	expect(await ask()).toMatch(/^(ENOPROTOOPT|EINVAL)$/);
	await daemon.reload(config(both));
	expect(await ask()).toBe('');
});

test('a port that is not watched appears nowhere; a reload adds it', async () => {
	await using narrow = await Daemon.start({ config: `listeners: {ports: [${port}]}` });
	const seen = async () => new Set((await narrow.metrics()).flatMap(({ labels: { listener = '' } }) => listener || []));
	const connect = async (kind: 'AF_INET' | 'AF_INET6 dual-stack') => {
		await using one = await stage.connect(kind, 'nat64');
		return `${one.accepted.address.replace('::ffff:', '')}:${one.accepted.port}`;
	};
	const unwatched = await connect('AF_INET6 dual-stack');
	await connect('AF_INET');
	await narrow.until(
		(samples) => total(samples, 'toascope_connections_closed_total', { listener: ipv4 }) === 1n || undefined,
	);
	expect([...(await seen())].filter((name) => name !== 'other')).toEqual([ipv4]);
	const lookup = (peer: string) => narrow.json<{ connections: unknown[] }>(`/v1/connections?peer=${peer}`);
	expect((await lookup(unwatched)).connections).toEqual([]);

	const own = `http: {listen: "127.0.0.1:0", socket: ${narrow.socket}}\nbpf: {pin: off}\nlog: {format: json}`;
	await narrow.reload([both, own, ''].join('\n'));
	const watched = await connect('AF_INET6 dual-stack');
	await narrow.until((samples) => samples.some(({ labels }) => isDual(labels.listener)) || undefined);
	expect((await lookup(watched)).connections).toHaveLength(1);
});

test('keys that require a restart are logged, and keep their values', async () => {
	const before = daemon.log.length;
	await daemon.reload(config(both, 'clients: {capacity: 1234, idle: 1 min}', 'on_exit: keep'));
	const line = await daemon.logged(/only with a restart/, before);
	expect(line.keys).toEqual(['clients.capacity', 'on_exit']);
	await daemon.reload(config(both));
});

test('toascope reload reports the outcome, and does not let the daemon read an invalid file', async () => {
	const reload = (env = {}) => toascope(['reload', '--config', daemon.configFile], { env });
	const attempts = async () =>
		(await daemon.json<{ config_reload: { attempts: number } }>('/v1/status')).config_reload.attempts;
	const before = await attempts();
	writeFileSync(daemon.configFile, config(both, 'transparent: on', 'on_exit: keep'));
	expect(await reload()).toEqual({
		code: 0,
		err: '',
		out: `configuration reloaded by the daemon (pid ${daemon.child.pid}); these keys require a restart: on_exit\n`,
	});
	expect(await daemon.json('/v1/status')).toMatchObject({ transparent: true, config_reload: { attempts: before + 1 } });
	writeFileSync(daemon.configFile, config(both, 'transparent: perhaps'));
	expect(await reload()).toMatchObject({ code: 2, out: '', err: expect.stringContaining('(found: "perhaps")') });
	expect(await daemon.json('/v1/status')).toMatchObject({ transparent: true });
	expect(await attempts()).toBe(before + 1);
});

test('toascope reload where the daemon cannot be reached', async () => {
	const path = join(daemon.directory, 'unreachable.yaml');
	writeFileSync(path, 'http: {listen: off, socket: off}\n');
	const reload = (env = {}) => toascope(['reload', '--config', path], { env });
	expect(await reload()).toMatchObject({ code: 3, err: expect.stringContaining('[NOT_RUNNING]') });
	// as systemd sets it in the environment of ExecReload=
	const from = daemon.log.length;
	const outcome = await reload({ MAINPID: String(daemon.child.pid) });
	expect(outcome).toMatchObject({
		code: 0,
		out: expect.stringContaining(`SIGHUP was sent to process ${daemon.child.pid}`),
	});
	await daemon.logged(/reload/, from);
});
