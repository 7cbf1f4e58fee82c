// SPDX-License-Identifier: Apache-2.0
/**
 * The real Prometheus scrapes the daemon: it accepts every metric, and its queries return the
 * numbers that the lab counted.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MetricDefinition, metricTable } from '../../daemon/export/metric_table.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { isReadyLine, untilReady } from '../../daemon/lab/process.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { native } from '../../native/binding.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { labTotals, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { dashboardQueries } from '../kit/telemetry/dashboard.ts';
import { checkMetrics, hasPrometheus, Prometheus } from '../kit/telemetry/prometheus.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const fexit = native().probe().features.fexit === '';
const hasPython = spawnSync('python3', ['--version']).error === undefined;
const pythonServer = new URL('../kit/apps/python_server.py', import.meta.url).pathname;
const port = somePorts(2);
const pythonPort = port + 1;
const listener = `${network.server}:${port}`;
const [gatewayPort, gatewayPythonPort] = [10_001, 10_002];
const statistics = '/proc/sys/kernel/bpf_stats_enabled';

describe.skipIf(!hasPrometheus)('the real Prometheus', () => {
	let lab: Lab;
	let client: LabClient;
	let direct: LabClient;
	let daemon: Daemon;
	let prometheus: Prometheus;
	let statisticsBefore: string;
	const results: ConnectionResult[] = [];
	const straight: ConnectionResult[] = [];

	/**
	 * Makes connections from every client, and some direct ones. Resolves when Prometheus has
	 * scraped all of them.
	 */
	async function round(): Promise<void> {
		const [some, others, accepted] = await Promise.all([
			client.run({
				from: '2001:db8:c::1',
				clients: 30,
				count: 75,
				to: nat64Server,
				port: gatewayPort,
				send: 12_345,
				receive: 54_321,
			}),
			direct.run({ count: 10, to: network.server, port, send: 100, receive: 200 }),
			hasPython ? client.run({ count: 10, to: nat64Server, port: gatewayPythonPort, text: 'who am I?' }) : [],
		]);
		results.push(...some);
		straight.push(...others);
		expect([...some, ...others, ...accepted].filter(({ error }) => error !== undefined)).toEqual([]);
		const closed = results.length + straight.length;
		await metricsAtRest(daemon, listener, closed);
		await prometheus.until(`toascope_connections_closed_total{listener="${listener}"}`, ([first]) =>
			first?.value[1] === String(closed) ? true : undefined,
		);
	}

	beforeAll(async () => {
		// so that the queries about the programs' run time have data
		statisticsBefore = readFileSync(statistics, 'utf8');
		writeFileSync(statistics, '1');
		lab = await Lab.open({
			routes: [
				{ listenPort: gatewayPort, backendPort: port, profile: 'nat64' },
				{ listenPort: gatewayPythonPort, backendPort: pythonPort, profile: 'nat64' },
			],
		});
		await lab.echoServer({ port });
		if (hasPython) {
			const python = lab.spawn('server', 'python3', [pythonServer, String(pythonPort)], { stdio: 'pipe' });
			await untilReady(python, 'python server', isReadyLine);
		}
		[client, direct] = await Promise.all([lab.client(), lab.client('gateway')]);
		daemon = await Daemon.start({ config: `listeners: {ports: [${port}-${pythonPort}]}\ntrust: [${network.pool}]` });
		prometheus = await Prometheus.start(new URL(daemon.url).host);
		// with the second round, rate() has an increase
		await round();
		await round();
	});

	afterAll(async () => {
		await prometheus?.[Symbol.asyncDispose]();
		await daemon?.stop();
		await lab?.close();
		writeFileSync(statistics, statisticsBefore);
	});

	it('promtool accepts the metrics', async () => {
		const text = await (await fetch(`${daemon.url}/metrics`)).text();
		expect(text).toContain('toascope_client_connections_opened_total{client="2001:db8:c::1"');
		expect(checkMetrics(text)).toBe('');
	});

	it('promtool rejects a metric with a wrong name', () => {
		expect(checkMetrics('# TYPE toascope_wrong counter\ntoascope_wrong 1\n')).toContain('toascope_wrong');
	});

	it('returns the connections and bytes of one client', async () => {
		const own = labTotals(results.filter((result) => result.client === '2001:db8:c::1'));
		expect(own.opened).toBe(6n);
		const ask = async (name: string) => {
			const found = await prometheus.query(`${name}{client="2001:db8:c::1",listener="${listener}"}`);
			return found.map(({ value }) => value[1]);
		};
		expect(await ask('toascope_client_connections_opened_total')).toEqual([String(own.opened)]);
		expect(await ask('toascope_client_connections_closed_total')).toEqual([String(own.closed)]);
		expect(await ask('toascope_client_connections_active')).toEqual(['0']);
		expect(await ask('toascope_client_received_bytes_total')).toEqual([String(own.received)]);
		expect(await ask('toascope_client_sent_bytes_total')).toEqual([String(own.sent)]);
		expect(await ask('toascope_client_connection_duration_seconds_count')).toEqual([String(own.closed)]);
	});

	it('returns sums over all clients that equal those of the lab and of the listener', async () => {
		const [clients, directs] = [labTotals(results), labTotals(straight)];
		const ask = async (expr: string) => (await prometheus.query(expr)).map(({ value }) => value[1]);
		const named = `listener="${listener}",client!~"direct|other"`;
		expect(await ask(`count(toascope_client_connections_opened_total{${named}})`)).toEqual(['30']);
		expect(await ask(`sum(toascope_client_connections_opened_total{${named}})`)).toEqual([String(clients.opened)]);
		expect(await ask(`sum(toascope_client_sent_bytes_total{${named}})`)).toEqual([String(clients.sent)]);
		expect(await ask(`toascope_client_received_bytes_total{listener="${listener}",client="direct"}`)).toEqual([
			String(directs.received),
		]);
		for (const [name, total] of [
			['connections_opened_total', clients.opened + directs.opened],
			['received_bytes_total', clients.received + directs.received],
			['sent_bytes_total', clients.sent + directs.sent],
		] as const) {
			expect(await ask(`toascope_${name}{listener="${listener}"}`)).toEqual([String(total)]);
			const of = `{listener="${listener}"}`;
			const clientsAndFolded = `sum without (client) (toascope_client_${name}${of}) + toascope_client_folded_${name}${of}`;
			expect(await ask(clientsAndFolded)).toEqual([String(total)]);
		}
	});

	it('asks for OpenMetrics, and knows the type and the unit of every family', async () => {
		expect(await prometheus.lastError()).toBe('');
		const metadata = await prometheus.metadata();
		for (const { name, type, unit, help } of metricTable as readonly MetricDefinition[]) {
			const family = type === 'counter' ? name.replace(/_total$/, '') : name;
			// the metric families of toa.ko and of OTLP have no samples here, nor do those of fexit
			// where the kernel refuses it
			const ofOthers = /^toascope_(module|otlp|span)_|_exported_total$/;
			const empty = ofOthers.test(name) || (name === 'toascope_bpf_program_misses_total' && !fexit);
			if (empty) expect(metadata[family], family).toBeUndefined();
			else expect(metadata[family], family).toEqual([{ type, unit: unit ?? '', help: expect.stringContaining(help) }]);
		}
	});

	it.each(dashboardQueries())('the dashboard, $panel: $expr', async ({ expr }) => {
		const found = await prometheus.query(expr);
		expect(found.length, 'results').toBeGreaterThan(0);
		// there is no data about the wait for accept where no accept can be observed
		if (!hasPython && expr.includes('accept_wait')) return;
		expect(found.map(({ value }) => value[1])).not.toContain('NaN');
	});
});
