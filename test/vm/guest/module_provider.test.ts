// SPDX-License-Identifier: Apache-2.0
/**
 * `provider: module` from loading to unloading: the clients that applications get, what is counted,
 * restarts, and one provider after the other.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ClientJson } from '../../../daemon/api/client.ts';
import { modulePrograms } from '../../../daemon/capture/load.ts';
import { constant } from '../../../daemon/capture/records/layout.gen.ts';
import { Lab, nat64Server, network } from '../../../daemon/lab/lab.ts';
import type { LabClient } from '../../../daemon/lab/lab_client.ts';
import type { ConnectionResult } from '../../../daemon/lab/protocol.ts';
import { version } from '../../../daemon/version.ts';
import { toascope } from '../../kit/daemon/command.ts';
import { Daemon } from '../../kit/daemon/daemon.ts';
import { EchoRecords } from '../../kit/daemon/echo_records.ts';
import {
	clientTotals,
	expectIdentity,
	labTotals,
	labTotalsByClient,
	listenerTotals,
	metricsAtRest,
} from '../../kit/daemon/expected_traffic.ts';
import { lookUpAll } from '../../kit/daemon/lookup.ts';
import { loadToa, noConfig, moduleStatus as status, unloadToa } from '../../kit/kernel/module.ts';
import { moduleFile } from '../../kit/kernel/module_file.ts';
import { total } from '../../kit/telemetry/metrics.ts';
import { scaleTimeout } from '../../kit/timeouts.ts';
import { isGateway, Stage, somePorts } from '../../kit/wire/toa_stage.ts';

const port = somePorts(2);
const listener = `${network.server}:${port}`;
const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const config = (...more: string[]) =>
	['provider: module', `listeners: {ports: [${port}-${port + 1}]}`, ...more].join('\n');

const unload = (...args: string[]) => toascope(['module', 'unload', ...(args.length === 0 ? noConfig : args)]);

it('module load loads and verifies it, status reports it, and unload removes it', async () => {
	expect(await status()).toMatchObject({ code: 1, loaded: null, takes_modules: true, kernel: release() });
	const { code, out, err } = await toascope(['module', 'load', moduleFile(), ...noConfig]);
	expect({ code, out, err }).toEqual({ code: 0, out: 'toa.ko is loaded: getsockopt(4096) answers\n', err: '' });
	expect(readFileSync('/proc/net/toa_counters', 'utf8')).toMatch(/^verdict_toa 1$/m);
	expect(await status()).toMatchObject({
		code: 0,
		loaded: { origin: 'own', version, references: 0, parameters: { profiles: 'nat64,toa6,toa4', trust: '' } },
	});
	expect((await toascope(['module', 'load', ...noConfig])).out).toMatch(/was already loaded/);
	expect((await unload()).out).toBe('toa.ko is unloaded\n');
	expect(existsSync('/sys/module/toa')).toBe(false);
	expect((await unload()).out).toBe('toa.ko was not loaded\n');
});

describe('with a daemon', () => {
	let stage: Stage;
	beforeAll(async () => {
		stage = await Stage.open(port);
		await loadToa();
	});
	afterAll(async () => {
		await stage?.[Symbol.asyncDispose]();
		await unloadToa();
	});

	it('applications get the client from the module, and status and metrics report the provider', async () => {
		await using daemon = await Daemon.start({ config: config() });
		expect(await daemon.logged(/^attached/)).toMatchObject({ provider: 'module' });
		for (const [kind, variant] of [
			['AF_INET', 'nat64'],
			['AF_INET', 'toa6'],
			['AF_INET6 dual-stack', 'nat64 only on data'],
		] as const) {
			await using connection = await stage.connect(kind, variant);
			const { result, bytes } = await connection.probe.getsockopt(0, 4096, 20);
			expect({ result, port: bytes.readUInt16BE(16), padding: bytes.readUInt16BE(18) }).toEqual({
				result: 0,
				port: connection.client.port,
				padding: 0,
			});
			expect(isGateway(connection.accepted.address)).toBe(true);
		}
		for (const variant of ['none', 'unknown'] as const) {
			await using connection = await stage.connect('AF_INET', variant);
			expect(await connection.probe.getsockopt(0, 4096, 20)).toMatchObject({ result: -1, error: 'EINVAL' });
			expect(await connection.probe.getsockopt(0, 4096, 19)).toMatchObject({ result: -1, error: 'EINVAL' });
		}
		const samples = await metricsAtRest(daemon, listener, 4);
		const events = (event: string) => total(samples, 'toascope_module_events_total', { event });
		expect(total(samples, 'toascope_provider_info', { provider: 'module' })).toBe(1n);
		expect(events('asked_ok')).toBeGreaterThanOrEqual(3n);
		expect(events('asked_none')).toBeGreaterThanOrEqual(2n);
		expect(events('syn_recv_sock_toa')).toBe(events('verdict_toa') + events('verdict_conflict'));
		expect(total(samples, 'toascope_module_connections')).toBe(0n);
		expect(await daemon.json('/v1/status')).toMatchObject({ provider: 'module', module: { version } });
	});

	it('accept() gets the client with transparent: on, and no longer with off', async () => {
		await using daemon = await Daemon.start({ config: config('transparent: on') });
		const accepted = async () => {
			await using connection = await stage.connect('AF_INET6 dual-stack', 'nat64');
			return { accepted: connection.accepted.address, client: connection.client.address };
		};
		const first = await accepted();
		expect(first.accepted).toBe(first.client);
		const before = readFileSync(daemon.configFile, 'utf8');
		expect((await daemon.reload(before.replace('transparent: on', 'transparent: off'))).msg).toMatch(/reloaded/);
		expect(isGateway((await accepted()).accepted)).toBe(true);
	});

	it('trust and profiles of a reload are applied to the module', async () => {
		await using daemon = await Daemon.start({ config: config(`trust: [${network.pool}]`) });
		const text = readFileSync(daemon.configFile, 'utf8');
		const verdicts = async (variant: 'nat64' | 'toa6') => {
			await using connection = await stage.connect('AF_INET', variant);
			return (await connection.probe.getsockopt(0, 4096, 20)).result;
		};
		expect(await verdicts('nat64')).toBe(0);
		await daemon.reload(text.replace(network.pool, '10.99.0.0/16'));
		expect(await verdicts('nat64')).toBe(-1);
		await daemon.reload(`${text}\nprofiles: [toa6]\n`);
		expect(await verdicts('nat64')).toBe(-1);
		expect(await verdicts('toa6')).toBe(0);
		const samples = await metricsAtRest(daemon, listener, 4);
		const count = (result: string) => total(samples, 'toascope_handshakes_total', { listener, result });
		expect([count('toa'), count('untrusted'), count('none')]).toEqual([2n, 1n, 1n]);
		expect(readFileSync('/sys/module/toa/parameters/profiles', 'utf8').trim()).toBe('toa6');
	});
});

describe('hundreds of connections with thousands of bytes', () => {
	let lab: Lab;
	let client: LabClient;
	const echoed = new EchoRecords();
	const [nat64Port, unknownPort] = [10_001, 10_002];

	beforeAll(async () => {
		await loadToa();
		lab = await Lab.open({
			routes: [
				{ listenPort: nat64Port, backendPort: port, profile: 'nat64' },
				{ listenPort: unknownPort, backendPort: port, profile: 'hex:fd04abcd', segments: ['ack'] },
			],
		});
		await lab.echoServer({ port, onRecords: echoed.onRecords });
		client = await lab.client();
	});
	afterAll(async () => {
		await lab?.close();
		await unloadToa();
	});
	afterEach(() => expect(existsSync(pin)).toBe(false));

	const run = (clients: number, count: number) =>
		client.run({
			from: '2001:db8:c::1',
			clients,
			count,
			to: nat64Server,
			port: nat64Port,
			send: 2000,
			receive: 3000,
			concurrency: 16,
		});

	it('each has its client, and every counter is exact', async () => {
		await using daemon = await Daemon.start({ config: config() });
		const results = await run(20, 200);
		const records = await echoed.of(results);
		const samples = await metricsAtRest(daemon, listener, 200);
		const found = await lookUpAll(
			daemon,
			results.map(({ id }) => `${records.get(id)?.peer}:${records.get(id)?.peerPort}`),
		);
		expect(found.map(([first]) => first?.client)).toEqual(
			results.map(({ client: address, clientPort }) => ({ address, port: clientPort })),
		);
		expect(listenerTotals(samples, listener)).toEqual(labTotals(results));
		const totals = clientTotals(samples, listener);
		for (const [address, wanted] of labTotalsByClient(results)) expect(totals.get(address), address).toEqual(wanted);
		expectIdentity(samples, listener);
		expect(total(samples, 'toascope_drops_total')).toBe(0n);
		const { clients } = await daemon.json<{ clients: ClientJson[] }>('/v1/clients?limit=100');
		expect(clients.filter(({ client: name }) => name.startsWith('2001:'))).toHaveLength(20);
	});

	it('a connection that stays open occupies no entry of module_reports', async () => {
		await using daemon = await Daemon.start({ config: config(`bpf: {pin: ${pin}}`, 'on_exit: detach') });
		const clients = 5;
		// an option that no profile matches, then data that the kernel accepts without a callback,
		// and nothing more
		const silent = { to: nat64Server, port: unknownPort, send: 100, receive: 0, hold: true };
		await client.run({ from: '2001:db8:c::1', clients, ...silent });
		await expect
			.poll(async () => listenerTotals(await daemon.metrics(), listener).received, {
				timeout: scaleTimeout(60_000),
				interval: 1000,
			})
			.toBe(BigInt(clients * silent.send));
		const map = join(pin, `v${constant.TOASCOPE_LAYOUT}`, 'maps', 'module_reports');
		const dump = execFileSync('/usr/sbin/bpftool', ['-j', 'map', 'dump', 'pinned', map], { encoding: 'utf8' });
		expect(JSON.parse(dump)).toEqual([]);
		await client.release();
		await metricsAtRest(daemon, listener, clients);
	});

	/** Makes connections all the time, until end() is called, which resolves with their results. */
	function traffic(): { end(): Promise<ConnectionResult[]> } {
		let ended = false;
		const running = (async () => {
			const results: ConnectionResult[] = [];
			// at least some of them, however slow the machine is
			while (!ended || results.length <= 40) results.push(...(await run(20, 40)));
			return results;
		})();
		return {
			end() {
				ended = true;
				return running;
			},
		};
	}

	it.each([
		['module', 'module'],
		['bpf', 'module'],
		['module', 'bpf'],
	])('a daemon with %s, and one with %s that adopts its pins under traffic: connections count once', async (a, b) => {
		const kept = (provider: string, onExit: string) =>
			config(`bpf: {pin: ${pin}}`, `on_exit: ${onExit}`).replace('provider: module', `provider: ${provider}`);
		const first = await Daemon.start({ config: kept(a, 'keep') });
		const connections = traffic();
		expect(await first.stop()).toBe(0);
		await using second = await Daemon.start({ config: kept(b, 'detach') });
		expect(await second.logged(/^attached/)).toMatchObject({ adopted: true, provider: b });
		const results = await connections.end();
		expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
		const samples = await metricsAtRest(second, listener, results.length);
		expect(listenerTotals(samples, listener)).toEqual(labTotals(results));
		expect(total(samples, 'toascope_handshakes_total', { listener, result: 'toa' })).toBe(BigInt(results.length));
		const totals = clientTotals(samples, listener);
		for (const [address, wanted] of labTotalsByClient(results)) expect(totals.get(address), address).toEqual(wanted);
		const links = readdirSync(join(pin, `v${constant.TOASCOPE_LAYOUT}`, 'links'));
		expect(links.filter((name) => modulePrograms.includes(name))).toHaveLength(
			b === 'module' ? modulePrograms.length : 0,
		);
	});

	it('unload fails while a daemon runs; links that a stopped daemon left are removed by unload', async () => {
		const kept = config(`bpf: {pin: ${pin}}`, 'on_exit: keep');
		const daemon = await Daemon.start({ config: kept });
		const file = join(mkdtempSync(join(tmpdir(), 'toascope-test-')), 'toascope.yaml');
		writeFileSync(file, `bpf: {pin: ${pin}}\n`);
		const refused = await unload('--config', file);
		expect(refused).toMatchObject({ code: 1 });
		expect(refused.err).toMatch(/toa\.ko is in use: another toascope \(pid \d+\) .* \[MODULE_IN_USE\]/);
		await daemon.stop();
		expect((await status()).loaded?.references).toBeGreaterThan(0);
		expect((await unload()).err).toMatch(/in use \(\d+ references\) \[MODULE_IN_USE\]/);
		expect(await unload('--config', file)).toMatchObject({ code: 0, err: '', out: 'toa.ko is unloaded\n' });
		await loadToa();
		await using next = await Daemon.start({ config: kept.replace('keep', 'detach') });
		expect((await next.logged(/some of the pins are missing/)).level).toBe(40);
		rmSync(join(file, '..'), { recursive: true });
	});

	it('a second daemon that cannot start does not change the trust of the first one', async () => {
		const pinned = (trust: string) => config(`bpf: {pin: ${pin}}`, 'on_exit: detach', `trust: ${trust}`);
		await using _first = await Daemon.start({ config: pinned('[10.9.0.0/16]') });
		await expect(Daemon.start({ config: pinned('[]') })).rejects.toThrow(/ALREADY_RUNNING/);
		expect(readFileSync('/sys/module/toa/parameters/trust', 'utf8')).toBe('10.9.0.0/16\n');
	});

	it('nor does one with other pins, or without pins: a host has only one module', async () => {
		await using first = await Daemon.start({ config: config('trust: [10.9.0.0/16]') });
		const { code, err } = await unload();
		expect(code).toBe(1);
		expect(err).toMatch(/in use: another toascope \(pid \d+\) controls toa\.ko, .* \[MODULE_IN_USE\]/);
		for (const more of ['bpf: {pin: off}', `bpf: {pin: ${pin}}`]) {
			await expect(Daemon.start({ config: config(more, 'trust: []') })).rejects.toThrow(/ALREADY_RUNNING/);
		}
		expect(readFileSync('/sys/module/toa/parameters/trust', 'utf8')).toBe('10.9.0.0/16\n');
		// a daemon that reads the options itself can run at the same time
		await using _beside = await Daemon.start({ config: config().replace('provider: module', 'provider: bpf') });
		await first.stop();
		await using _next = await Daemon.start({ config: config('bpf: {pin: off}') });
	});
});
