// SPDX-License-Identifier: Apache-2.0
/**
 * The contents of /metrics of the real daemon: every metric of the table, each verdict, listeners
 * beyond the limit, exact sums.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { metricTable } from '../../daemon/export/metric_table.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import {
	clientTotals,
	expectIdentity,
	labTotals,
	listenerTotals,
	metricsAtRest,
} from '../kit/daemon/expected_traffic.ts';
import { parseMetrics, type Sample, total } from '../kit/telemetry/metrics.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(3);
const ports = [port, port + 1, port + 2] as const;
const listeners = ports.map((one) => `${network.server}:${one}`);
const [listener = ''] = listeners;
const routes = { nat64: 10_001, conflict: 10_002, second: 10_003, third: 10_004 };
const allResults = ['toa', 'none', 'malformed', 'untrusted', 'conflict'] as const;

let lab: Lab;
let client: LabClient;
let direct: LabClient;

beforeAll(async () => {
	lab = await Lab.open({
		routes: [
			{ listenPort: routes.nat64, backendPort: ports[0], profile: 'nat64' },
			// 192.0.2.9 port 8080 in the layout of akamai4, then 192.0.2.10 port 8081 in that of
			// toa4
			{ listenPort: routes.conflict, backendPort: ports[0], profile: 'hex:fd081f90c0000209fe081f91c000020a' },
			{ listenPort: routes.second, backendPort: ports[1], profile: 'nat64' },
			{ listenPort: routes.third, backendPort: ports[2], profile: 'nat64' },
		],
	});
	await Promise.all(ports.map((one) => lab.echoServer({ port: one })));
	[client, direct] = await Promise.all([lab.client(), lab.client('gateway')]);
});

afterAll(() => lab.close());

function startDaemon(...more: string[]): Promise<Daemon> {
	const watched = `${ports[0]}-${ports[2]}`;
	return Daemon.start({ config: [`listeners: {ports: [${watched}], max: 2}`, ...more].join('\n') });
}

async function run(listenPort: number, count: number): Promise<ConnectionResult[]> {
	const batch = { from: '2001:db8:c::1', clients: 5, count, send: 1000, receive: 3000 };
	const results = await client.run({ ...batch, to: nat64Server, port: listenPort });
	expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
	return results;
}

const handshakes = (samples: readonly Sample[]) =>
	allResults.map((result) => total(samples, 'toascope_handshakes_total', { listener, result }));

/** Converts exactly: `1.5` is 1500000000 ns. */
function nanoseconds(seconds: string): bigint {
	const [whole = '', part = ''] = seconds.split('.');
	return BigInt(whole + part.padEnd(9, '0'));
}

const sumNs = (samples: readonly Sample[], name: string) =>
	samples
		.filter((sample) => sample.name === name && sample.labels.listener === listener)
		.reduce((sum, { value }) => sum + nanoseconds(value), 0n);

describe('every verdict', () => {
	it('is counted once, for its client or as direct', async () => {
		await using daemon = await startDaemon(`trust: [${network.pool}]`, 'profiles: [nat64, akamai4, toa4]');
		const toa = await run(routes.nat64, 7);
		const conflict = await run(routes.conflict, 5);
		const straight = await direct.run({ count: 3, to: network.server, port });
		const samples = await metricsAtRest(daemon, listener, 15);
		expect(handshakes(samples)).toEqual([7n, 3n, 0n, 0n, 5n]);
		const byClient = clientTotals(samples, listener);
		// if options differ, the first one counts
		expect(byClient.get('192.0.2.9')).toEqual(labTotals(conflict));
		expect(byClient.get('192.0.2.10')).toBeUndefined();
		expect(byClient.get('direct')).toEqual(labTotals(straight));
		expect(listenerTotals(samples, listener)).toEqual(labTotals([...toa, ...conflict, ...straight]));
		const options = (profile: string) => total(samples, 'toascope_options_total', { profile });
		expect(['nat64', 'akamai4', 'toa4'].map(options)).toEqual([7n, 5n, 0n]);
		expectIdentity(samples, listener);
	});

	it('of a peer that is not trusted counts for no client', async () => {
		await using daemon = await startDaemon('trust: [203.0.113.0/24]');
		const results = await run(routes.nat64, 10);
		const samples = await metricsAtRest(daemon, listener, 10);
		expect(handshakes(samples)).toEqual([0n, 0n, 0n, 10n, 0n]);
		expect(clientTotals(samples, listener)).toEqual(
			new Map([
				['direct', labTotals(results)],
				['other', labTotals([])],
			]),
		);
		expect(total(samples, 'toascope_options_total')).toBe(0n);
		expectIdentity(samples, listener);
	});
});

describe('listeners beyond listeners.max', () => {
	it('are counted in `other`, completely', async () => {
		await using daemon = await startDaemon();
		const [first, second, third] = [
			await run(routes.nat64, 4),
			await run(routes.second, 5),
			await run(routes.third, 6),
		];
		await metricsAtRest(daemon, listener, 4);
		const samples = await metricsAtRest(daemon, 'other', 6);
		expect(listenerTotals(samples, listener)).toEqual(labTotals(first));
		expect(listenerTotals(samples, listeners[1] ?? '')).toEqual(labTotals(second));
		expect(listenerTotals(samples, 'other')).toEqual(labTotals(third));
		for (const name of [...listeners.slice(0, 2), 'other']) expectIdentity(samples, name);
		expect(total(samples, 'toascope_drops_total', { reason: 'listeners_full' })).toBe(6n);
	});
});

describe('the text', () => {
	it('contains every metric of the table with its labels, and no others', async () => {
		await using daemon = await startDaemon();
		await run(routes.nat64, 5);
		const samples = await metricsAtRest(daemon, listener, 5);
		const perRun = /^toascope_bpf_program_/;
		// toa.ko is not loaded, and nothing is sent over OTLP
		const ofOthers = /^toascope_(module|otlp|span)_|_exported_total$/;
		const hasStatistics = readFileSync('/proc/sys/kernel/bpf_stats_enabled', 'utf8').trim() !== '0';
		const ours = samples.filter(({ name }) => name.startsWith('toascope_'));
		const suffix = /_(bucket|sum|count)$/;
		const unknown = new Set(ours.map(({ name }) => name));
		for (const { name, type, labels } of metricTable) {
			const own = ours.filter((sample) =>
				type === 'histogram' || type === 'summary' ? sample.name.replace(suffix, '') === name : sample.name === name,
			);
			if (ofOthers.test(name)) expect(own, name).toEqual([]);
			else if (!perRun.test(name) || hasStatistics) expect(own.length, name).toBeGreaterThan(0);
			for (const sample of own) {
				unknown.delete(sample.name);
				const expected = sample.name.endsWith('_bucket') ? [...labels, 'le'] : [...labels];
				expect(Object.keys(sample.labels).toSorted(), sample.name).toEqual(expected.toSorted());
			}
		}
		expect([...unknown]).toEqual([]);
	});

	it('contains histograms and sums that agree, to the nanosecond', async () => {
		await using daemon = await startDaemon();
		await run(routes.nat64, 40);
		await direct.run({ count: 5, to: network.server, port, send: 100, receive: 100 });
		const samples = await metricsAtRest(daemon, listener, 45);
		for (const name of ['rtt_seconds', 'connection_duration_seconds']) {
			const count = total(samples, `toascope_${name}_count`, { listener });
			// a sweep that reads a connection while it is open adds an RTT sample to that of its
			// close
			if (name === 'rtt_seconds') expect(count, name).toBeGreaterThanOrEqual(45n);
			else expect(count, name).toBe(45n);
			expect(total(samples, `toascope_${name}_bucket`, { listener, le: '+Inf' })).toBe(count);
			expect(total(samples, `toascope_client_${name}_count`, { listener })).toBe(count);
			expect(sumNs(samples, `toascope_${name}_sum`)).toBeGreaterThan(0n);
			expect(sumNs(samples, `toascope_client_${name}_sum`)).toBe(sumNs(samples, `toascope_${name}_sum`));
		}
	});

	it('is the same when compressed', async () => {
		await using daemon = await startDaemon();
		await run(routes.nat64, 5);
		await metricsAtRest(daemon, listener, 5);
		const own = (text: string) => parseMetrics(text).filter(({ name }) => name.startsWith('toascope_client_'));
		const ask = (headers: Record<string, string>) => fetch(`${daemon.url}/metrics`, { headers });
		const plain = await ask({ 'accept-encoding': 'identity' });
		const packed = await ask({ 'accept-encoding': 'gzip' });
		expect(plain.headers.get('content-encoding')).toBeNull();
		expect(packed.headers.get('content-encoding')).toBe('gzip');
		// fetch() has unpacked it
		expect(own(await packed.text())).toEqual(own(await plain.text()));
	});
});
