// SPDX-License-Identifier: Apache-2.0
/** Each query of docs/queries.md, as it stands there, in a real Prometheus: over bursts, folds and returns it says what the lab counted. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { Result } from '../../daemon/lab/protocol.ts';
import { labAccount, settled } from '../fixtures/accounts.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { dashboardQueries } from '../fixtures/dashboard.ts';
import { HeldMetrics } from '../fixtures/held_metrics.ts';
import { total } from '../fixtures/metrics.ts';
import { patient } from '../fixtures/patience.ts';
import { hasPrometheus, Prometheus, type Vector } from '../fixtures/prometheus.ts';
import { pageQueries, pageRules } from '../fixtures/queries.ts';
import { somePorts } from '../fixtures/stage.ts';

const [port, httpPort] = [somePorts(1), somePorts(1)];
const gatewayPort = 10_001;
const listener = `${network.server}:${port}`;
const address = (number: string) => `2001:db8:c::${number}`;
/** One that goes on and is folded and comes back, one that keeps a connection open, one that goes on, one that comes once. */
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
	let held: HeldMetrics;
	let prometheus: Prometheus;
	const results: Result[] = [];
	let open: Result[];

	/** Resolves when all of it has closed, and the daemon has looked. */
	async function run(from: string, count: number): Promise<void> {
		results.push(...(await client.run({ from, count, to: nat64Server, port: gatewayPort, send: 1000, receive: 3000 })));
		expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
		await settled(daemon, listener, results.length);
	}

	/** Resolves when two more scrapes have come after all that was done. */
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
		held = await HeldMetrics.open(() => daemon.url);
		prometheus = await Prometheus.start(held.target);
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
		await held.hold();
		await run(bursting, burst);
		held.release();
		await scraped();
		await daemon.reload(config('100 ms'));
		await daemon.until((samples) => total(samples, 'toascope_clients_tracked') === 1n || undefined);
		await scraped();
		await daemon.reload(config('1 h'));
		for (let round = 0; round < 2; round++) {
			await run(returning, 10);
			await scraped();
		}
	}, patient(180_000));

	afterAll(async () => {
		await prometheus?.[Symbol.asyncDispose]();
		await held?.[Symbol.asyncDispose]();
		await daemon?.stop();
		await lab?.close();
	});

	const ask = (heading: string): Promise<readonly Vector[]> => prometheus.query(queries.get(heading) as string);
	const byLabel = (found: readonly Vector[], label: string) =>
		new Map(found.map(({ metric, value }) => [metric[label] ?? '', Number(value[1])]));
	/** The one value, of the listener where they are by listener. */
	const only = (found: readonly Vector[]) => {
		const own = found.filter(({ metric }) => metric['listener'] === undefined || metric['listener'] === listener);
		expect(own).toHaveLength(1);
		return Number(own[0]?.value[1]);
	};
	const truth = (who?: string) =>
		labAccount([...results, ...open].filter((one) => who === undefined || one.client === who));
	const connections = (who?: string) => Number(truth(who).opened);
	const bytes = (who?: string) => Number(truth(who).received + truth(who).sent);
	/** increase() goes on beyond the last sample, by a part of what has passed between the first and the last. */
	const expectAbout = (found: number | undefined, wanted: number) => {
		expect(found).toBeGreaterThanOrEqual(wanted);
		expect(found).toBeLessThan(wanted * 1.2);
	};

	function expectBusiest(found: readonly Vector[], of: (who: string) => number): void {
		const most = byLabel(found, 'client');
		expect([...most].toSorted(([, a], [, b]) => b - a)[0]?.[0]).toBe(bursting);
		expect(most.get(bursting)).toBe(of(bursting));
		for (const one of [holding, steady]) expectAbout(most.get(one), of(one));
		// of the one that came back some is missing, and never too much is there
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
			// what the page says of it
			expect(rates.get(bursting)).toBe(0);
		},
		'Open connections by client': (found) =>
			expect([...byLabel(found, 'client')].filter(([, count]) => count !== 0)).toEqual([[holding, 1]]),
		'Open connections': (found) => expect(only(found)).toBe(1),
		'Share without TOA': (found) => expect(only(found)).toBe(0),
		'Share of connections in other': (found) => expect(only(found)).toBe(0),
		'Clients folded in an hour': (found) => expectAbout(only(found), 3),
	};

	it('all have one', () => {
		expect([...queries.keys()]).toEqual(Object.keys(checks));
	});

	it.each(Object.keys(checks))('%s', async (heading) => {
		const found = await ask(heading);
		expect(found.map(({ value }) => value[1])).not.toContain('NaN');
		checks[heading]?.(found);
	});

	it('increase() alone does not know the client that came once, and the client series with folded are too much', async () => {
		const counter = 'toascope_client_connections_opened_total';
		expect(only(await prometheus.query(`increase(${counter}{client="${bursting}"}[1h])`))).toBe(0);
		const folded = 'sum(increase(toascope_client_folded_connections_opened_total[1h]))';
		const twice = only(await prometheus.query(`sum(increase(${counter}[1h])) + ${folded}`));
		expect(twice + burst).toBeGreaterThan(connections() * 1.1);
	});

	it.each(dashboardQueries().filter(({ panel }) => /^Clients by (connections|bytes)$/.test(panel)))(
		'the dashboard has the busiest on top: $panel',
		async ({ panel, expr }) => {
			const found = await prometheus.query(expr.replaceAll('1m', '1h'));
			expectBusiest(found, panel.endsWith('bytes') ? bytes : connections);
		},
	);

	it('says to a scraper that asks for it when the series began', async () => {
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

	it('the alerts are rules that promtool takes, and of metrics that are there', async () => {
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
			// nothing of this is wrong here
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
