// SPDX-License-Identifier: Apache-2.0
/**
 * A real Prometheus that uses start times, by scrape and by its OTLP receiver: `increase()` is what
 * the load made, the first connection of each client included.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { labTotals, labTotalsByClient, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { buildPrometheus } from '../kit/telemetry/go_programs.ts';
import { Prometheus } from '../kit/telemetry/prometheus.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const listener = `${network.server}:${port}`;
const listenPort = 10_001;
const zeroIngestion = '--enable-feature=created-timestamp-zero-ingestion';

const program = (await buildPrometheus()) ?? '';

describe.skipIf(program === '')('increase() in Prometheus 3', () => {
	let lab: Lab;
	let client: LabClient;
	let direct: LabClient;

	beforeAll(async () => {
		lab = await Lab.open({ routes: [{ listenPort, backendPort: port, profile: 'nat64' }] });
		await lab.echoServer({ port });
		[client, direct] = await Promise.all([lab.client(), lab.client('gateway')]);
	});

	afterAll(async () => {
		await lab?.close();
	});

	const start = (env: Readonly<Record<string, string>> = {}): Promise<Daemon> =>
		Daemon.start({ config: `listeners: {ports: [${port}]}\ntrust: [${network.pool}]\notel: {spans: off}`, env });

	/** Connections of clients that come in three rounds, more than a scrape apart. */
	async function rounds(daemon: Daemon): Promise<{ results: ConnectionResult[]; straight: ConnectionResult[] }> {
		const results: ConnectionResult[] = [];
		const straight: ConnectionResult[] = [];
		const request = { to: nat64Server, port: listenPort, send: 300, receive: 5000 };
		for (let round = 1; round <= 3; round++) {
			results.push(
				...(await client.run({ ...request, from: '2001:db8:c::1', clients: 10 * round, count: 40 * round })),
			);
			straight.push(...(await direct.run({ count: 5, to: network.server, port, send: 10, receive: 20 })));
			await metricsAtRest(daemon, listener, results.length + straight.length);
			await new Promise((resolve) => setTimeout(resolve, 1500));
		}
		expect([...results, ...straight].filter(({ error }) => error !== undefined)).toEqual([]);
		return { results, straight };
	}

	/**
	 * The increase of each series over the whole test, by these labels. It is evaluated at the last
	 * sample: increase() extrapolates to the end of the range otherwise.
	 */
	async function increases(prometheus: Prometheus, name: string, by: string): Promise<Map<string, string>> {
		const samples = await prometheus.samples(`${name}[5m]`);
		const lastAt = Math.max(...samples.flatMap(({ values }) => values.map(([at]) => at)));
		const result = await prometheus.query(`sum by (${by}) (increase(${name}[5m]))`, lastAt);
		return new Map(result.map(({ metric, value: [, value] }) => [metric[by] ?? '', value]));
	}

	async function expectLoad(
		prometheus: Prometheus,
		labels: { readonly client: string; readonly listener: string },
		{ results, straight }: { results: readonly ConnectionResult[]; straight: readonly ConnectionResult[] },
	): Promise<void> {
		const all = labTotals([...results, ...straight]);
		// until Prometheus has the last values
		await prometheus.until(
			`sum(toascope_sent_bytes_total)`,
			([one]) => one?.value[1] === String(all.sent) || undefined,
		);
		await prometheus.until(
			`sum(toascope_client_sent_bytes_total)`,
			([one]) => one?.value[1] === String(all.sent) || undefined,
		);
		const byClient = labTotalsByClient(results);
		for (const [name, field] of [
			['connections_opened', 'opened'],
			['connections_closed', 'closed'],
			['received_bytes', 'received'],
			['sent_bytes', 'sent'],
		] as const) {
			const ofClients = await increases(prometheus, `toascope_client_${name}_total`, labels.client);
			const expected = new Map([...byClient].map(([address, totals]) => [address, String(totals[field])]));
			expected.set('direct', String(labTotals(straight)[field]));
			expected.set('other', '0');
			expect(new Map([...ofClients].toSorted()), name).toEqual(new Map([...expected].toSorted()));
			const ofListeners = await increases(prometheus, `toascope_${name}_total`, labels.listener);
			// the other series is of the listener "other"
			expect([...ofListeners.values()].toSorted(), name).toEqual(['0', String(all[field])].toSorted());
		}
	}

	const timeout = { timeout: scaleTimeout(180_000) };

	it('by scrape: OpenMetrics with _created', timeout, async () => {
		await using daemon = await start();
		await using prometheus = await Prometheus.start(new URL(daemon.url).host, [program, zeroIngestion]);
		await expectLoad(prometheus, { client: 'client', listener: 'listener' }, await rounds(daemon));
		expect(await prometheus.lastError()).toBe('');
	});

	it('by OTLP', timeout, async () => {
		await using prometheus = await Prometheus.start(undefined, [program, '--web.enable-otlp-receiver', zeroIngestion]);
		await using daemon = await start({
			OTEL_EXPORTER_OTLP_ENDPOINT: prometheus.otlpEndpoint,
			OTEL_METRIC_EXPORT_INTERVAL: '1000',
		});
		await expectLoad(prometheus, { client: 'client_address', listener: 'server_address' }, await rounds(daemon));
		expect(daemon.log.filter(({ msg }) => /OTLP receiver/.test(msg))).toEqual([]);
	});
});
