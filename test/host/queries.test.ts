// SPDX-License-Identifier: Apache-2.0
/**
 * Runs each query of docs/queries.md, exactly as it is written there, in a real Prometheus: across
 * bursts, folding and returning clients, its result matches what the lab counted.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { labTotals, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { dashboardQueries } from '../kit/telemetry/dashboard.ts';
import { FreezingProxy } from '../kit/telemetry/freezing_proxy.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { hasPrometheus, Prometheus, type Vector } from '../kit/telemetry/prometheus.ts';
import { pageQueries, pageRules } from '../kit/telemetry/queries.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const [port, httpPort] = [somePorts(1), somePorts(1)];
const gatewayPort = 10_001;
const listener = `${network.server}:${port}`;
const address = (number: string) => `2001:db8:c::${number}`;
/**
 * The clients: one that is folded and returns, one that keeps a connection open, one that connects
 * in every round, and one that connects only in one burst.
 */
const [returning, holding, steady, bursting] = ['1', '2', '3', 'b'].map(address) as [string, string, string, string];
const burst = 500;

const config = (idle: string) =>
	[
		`listeners: {ports: [${port}]}`,
		`trust: [${network.pool}]`,
		`clients: {idle: ${idle}}`,
		`http: {listen: "127.0.0.1:${httpPort}", socket: off}`,
		'bpf: {pin: off}',
		'log: {format: json, level: debug}',
	].join('\n');

const queries = pageQueries();

describe.skipIf(!hasPrometheus)('the queries of the page', () => {
	let lab: Lab;
	let client: LabClient;
	let daemon: Daemon;
	let metricsProxy: FreezingProxy;
	let prometheus: Prometheus;
	const results: ConnectionResult[] = [];
	let open: ConnectionResult[];

	/**
	 * Makes connections. Resolves when all of them have closed and the daemon has collected their
	 * counters.
	 */
	async function run(from: string, count: number): Promise<void> {
		results.push(...(await client.run({ from, count, to: nat64Server, port: gatewayPort, send: 1000, receive: 3000 })));
		expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
		await metricsAtRest(daemon, listener, results.length);
	}

	/** Resolves after two more scrapes. */
	async function scraped(): Promise<void> {
		for (let scrape = 0; scrape < 2; scrape++) {
			const after = Date.now() / 1000;
			await prometheus.until(`timestamp(toascope_build_info) > ${after}`, ([one]) => one);
		}
	}

	beforeAll(async () => {
		lab = await Lab.open({ routes: [{ listenPort: gatewayPort, backendPort: port, profile: 'nat64' }] });
		await lab.echoServer({ port });
		client = await lab.client();
		const keeping = await lab.client();
		daemon = await Daemon.start({ config: config('1 h') });
		metricsProxy = await FreezingProxy.open(() => daemon.url);
		prometheus = await Prometheus.start(metricsProxy.target);
		await scraped();
		for (let round = 0; round < 3; round++) {
			for (const one of [returning, holding, steady]) await run(one, 20);
			await scraped();
		}
		open = await keeping.run({
			from: holding,
			to: nat64Server,
			port: gatewayPort,
			send: 1000,
			receive: 3000,
			hold: true,
		});
		await metricsProxy.freeze();
		await run(bursting, burst);
		metricsProxy.unfreeze();
		await scraped();
		await daemon.reload(config('100 ms'));
		await daemon.until((samples) => total(samples, 'toascope_clients_tracked') === 1n || undefined);
		await scraped();
		await daemon.reload(config('1 h'));
		for (let round = 0; round < 2; round++) {
			await run(returning, 10);
			await scraped();
		}
	}, scaleTimeout(180_000));

	afterAll(async () => {
		await prometheus?.[Symbol.asyncDispose]();
		await metricsProxy?.[Symbol.asyncDispose]();
		await daemon?.stop();
		await lab?.close();
	});

	const ask = (heading: string): Promise<readonly Vector[]> => prometheus.query(queries.get(heading) as string);
	const byLabel = (found: readonly Vector[], label: string) =>
		new Map(found.map(({ metric, value }) => [metric[label] ?? '', Number(value[1])]));
	/** The only value; if there is one for each listener, that of the lab's listener. */
	const only = (found: readonly Vector[]) => {
		const own = found.filter(({ metric }) => metric['listener'] === undefined || metric['listener'] === listener);
		expect(own).toHaveLength(1);
		return Number(own[0]?.value[1]);
	};
	const truth = (who?: string) =>
		labTotals([...results, ...open].filter((one) => who === undefined || one.client === who));
	const connections = (who?: string) => Number(truth(who).opened);
	const bytes = (who?: string) => Number(truth(who).received + truth(who).sent);
	/**
	 * increase() extrapolates beyond the last sample, in proportion to the increase between the
	 * first and the last.
	 */
	const expectAbout = (found: number | undefined, wanted: number) => {
		expect(found).toBeGreaterThanOrEqual(wanted);
		expect(found).toBeLessThan(wanted * 1.2);
	};

	function expectBusiest(found: readonly Vector[], of: (who: string) => number): void {
		const most = byLabel(found, 'client');
		expect([...most].toSorted(([, a], [, b]) => b - a)[0]?.[0]).toBe(bursting);
		expect(most.get(bursting)).toBe(of(bursting));
		for (const one of [holding, steady]) expectAbout(most.get(one), of(one));
		// for the client that returned, some connections are missing, but there are never too many
		expect(most.get(returning)).toBeGreaterThan(of(returning) / 2);
		expect(most.get(returning)).toBeLessThan(of(returning) * 1.2);
	}

	const checks: Readonly<Record<string, (found: readonly Vector[]) => void>> = {
		'Busiest clients by connections': (found) => expectBusiest(found, connections),
		'Busiest clients by bytes': (found) => expectBusiest(found, bytes),
		'Total connections': (found) => expectAbout(only(found), connections()),
		'Total bytes': (found) => expectAbout(only(found), bytes()),
		'Exact sums since the counters began': (found) => expect(only(found)).toBe(connections()),
		'Connections a second': (found) => expect(only(found)).toBeGreaterThan(0),
		'Bytes a second': (found) => expect(only(found)).toBeGreaterThan(0),
		'Busiest clients, connections a second'(found) {
			const rates = byLabel(found, 'client');
			expect(rates.get(steady)).toBeGreaterThan(0);
			// as the page says
			expect(rates.get(bursting)).toBe(0);
		},
		'Open connections by client': (found) =>
			expect([...byLabel(found, 'client')].filter(([, count]) => count !== 0)).toEqual([[holding, 1]]),
		'Open connections': (found) => expect(only(found)).toBe(1),
		'Share without TOA': (found) => expect(only(found)).toBe(0),
		'Share of connections in other': (found) => expect(only(found)).toBe(0),
		'Clients folded in an hour': (found) => expectAbout(only(found), 3),
	};

	it('each has a check', () => {
		expect([...queries.keys()]).toEqual(Object.keys(checks));
	});

	it.each(Object.keys(checks))('%s', async (heading) => {
		const found = await ask(heading);
		expect(found.map(({ value }) => value[1])).not.toContain('NaN');
		checks[heading]?.(found);
	});

	it('increase() by itself misses a client that came once, and client series plus folded counts are too high', async () => {
		const counter = 'toascope_client_connections_opened_total';
		expect(only(await prometheus.query(`increase(${counter}{client="${bursting}"}[1h])`))).toBe(0);
		const folded = 'sum(increase(toascope_client_folded_connections_opened_total[1h]))';
		const twice = only(await prometheus.query(`sum(increase(${counter}[1h])) + ${folded}`));
		expect(twice + burst).toBeGreaterThan(connections() * 1.1);
	});

	it.each(dashboardQueries().filter(({ panel }) => /^Clients by (connections|bytes)$/.test(panel)))(
		'the dashboard shows the busiest client first: $panel',
		async ({ panel, expr }) => {
			const found = await prometheus.query(expr.replaceAll('1m', '1h'));
			expectBusiest(found, panel.endsWith('bytes') ? bytes : connections);
		},
	);

	it('/metrics?created=on contains the times at which series began', async () => {
		const { clients } = await daemon.json<{ clients: { client: string; since: string }[] }>('/v1/clients');
		const since = Date.parse(clients.find((one) => one.client === returning)?.since ?? '') / 1000;
		const text = await (
			await fetch(`${daemon.url}/metrics?created=on`, { headers: { accept: 'application/openmetrics-text' } })
		).text();
		const created = new RegExp(`^toascope_client_sent_bytes_created\\{client="${returning}",.*\\} (\\S+)$`, 'm');
		expect(Number(created.exec(text)?.[1])).toBeCloseTo(since, 3);
		const began = /^toascope_connections_opened_created\{.*\} (\S+)$/m.exec(text)?.[1];
		expect(Number(began)).toBeLessThan(since);
	});

	it('the alerts are rules that promtool accepts, about metrics that exist', async () => {
		const directory = mkdtempSync(join(tmpdir(), 'toascope-rules-'));
		try {
			const file = join(directory, 'rules.yaml');
			writeFileSync(file, pageRules());
			expect(execFileSync('promtool', ['check', 'rules', file], { encoding: 'utf8' })).toContain('8 rules found');
		} finally {
			rmSync(directory, { recursive: true });
		}
		const rules = (parse(pageRules()) as { groups: { rules: { alert: string; expr: string }[] }[] }).groups[0]?.rules;
		for (const { alert, expr } of rules ?? []) {
			// none of the alerts fires here
			expect([alert, await prometheus.query(expr)]).toEqual([alert, []]);
			for (const metric of expr.match(/\btoascope_\w+|\bup\b/g) ?? []) {
				expect((await prometheus.query(metric)).length, metric).toBeGreaterThan(0);
			}
		}
		await daemon.reload('no_such_key: 1');
		await scraped();
		const failed = rules?.find(({ alert }) => alert === 'ToascopeReloadFailed')?.expr ?? '';
		expect(await prometheus.query(failed)).toHaveLength(1);
	});
});
