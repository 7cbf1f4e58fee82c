// SPDX-License-Identifier: Apache-2.0
/**
 * deploy/fleet as it is: the daemon's connection records go through the real Collector and its own
 * exporter into a real ClickHouse engine, whose query then names the client of a peer at a moment.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { EchoRecords } from '../kit/daemon/echo_records.ts';
import { ClickHouse, installChdb } from '../kit/telemetry/clickhouse.ts';
import { Collector } from '../kit/telemetry/collector.ts';
import { buildCollector } from '../kit/telemetry/go_programs.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const fleet = new URL('../../deploy/fleet/', import.meta.url);
const read = (name: string) => readFileSync(new URL(name, fleet), 'utf8');
const port = somePorts(1);
const listenPort = 10_001;
const program = (await buildCollector()) ?? '';
const chdb = program === '' ? undefined : await installChdb();

interface Row {
	readonly client: string;
	readonly client_port: number;
	readonly local: string;
	readonly local_port: number;
	readonly state: string;
	readonly received_bytes: string;
	readonly sent_bytes: string;
}

describe.skipIf(chdb === undefined)('deploy/fleet', () => {
	let lab: Lab;
	let client: LabClient;
	let clickhouse: ClickHouse;
	let collector: Collector;
	let daemon: Daemon;
	const echoed = new EchoRecords();

	beforeAll(async () => {
		lab = await Lab.open({ routes: [{ listenPort, backendPort: port, profile: 'nat64' }] });
		await lab.echoServer({ port, onRecords: echoed.onRecords });
		client = await lab.client();
		clickhouse = await ClickHouse.start(chdb ?? '');
		await clickhouse.run(read('clickhouse/table.sql'));
		collector = await Collector.start(program, {
			configuration: read('collector.yaml'),
			env: { CLICKHOUSE_ENDPOINT: clickhouse.endpoint, COLLECTOR_FLUSH: '200ms' },
		});
		daemon = await Daemon.start({
			config: [
				`listeners: {ports: [${port}]}`,
				`trust: [${network.pool}]`,
				'connections: {retain: 0}',
				'otel: {logs: on, span_interval: 10 s, metrics: off, spans: off}',
			].join('\n'),
			env: {
				OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint('grpc').replace('//', '//user:secret@'),
				OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
				OTEL_BLRP_SCHEDULE_DELAY: '100',
			},
		});
	}, scaleTimeout(120_000));

	afterAll(async () => {
		await daemon?.stop();
		await collector?.[Symbol.asyncDispose]();
		await clickhouse?.[Symbol.asyncDispose]();
		await lab?.close();
	});

	const stored = (condition = '1') =>
		clickhouse.query<Row & { peer: string; peer_port: number }>(
			`SELECT peer, peer_port, client, client_port, local, local_port, state, received_bytes, sent_bytes FROM toascope.connections FINAL WHERE ${condition}`,
		);

	async function untilStored(count: number, condition?: string): Promise<void> {
		while ((await stored(condition)).length < count) await new Promise((resolve) => setTimeout(resolve, 200));
	}

	/** What the hint of `toascope lookup --at` says, and the result of the query that it prints. */
	async function ask(peer: string, at: Date): Promise<{ err: string; rows: Row[] }> {
		const args = ['lookup', peer, '--at', at.toISOString(), '--socket', daemon.socket];
		const { code, out, err } = await toascope(args);
		expect(code).toBe(1);
		return { err, rows: await clickhouse.query<Row>(out) };
	}

	it('the query of toascope lookup names the client of a peer at a moment, and none at another', {
		timeout: scaleTimeout(120_000),
	}, async () => {
		const before = new Date(Date.now() - 60_000);
		const results = await client.run({
			from: '2001:db8:c:0:9::1',
			clients: 30,
			count: 200,
			to: nat64Server,
			port: listenPort,
			send: 300,
			receive: 5000,
		});
		await untilStored(results.length);
		const rows = await stored();
		const seen = await echoed.of(results);
		const expected = results.map(({ id, client: address, clientPort, sent, received }) => ({
			peer: seen.get(id)?.peer,
			peer_port: seen.get(id)?.peerPort,
			client: address,
			client_port: clientPort,
			local: network.server,
			local_port: port,
			state: 'closed',
			received_bytes: String(sent),
			sent_bytes: String(received),
		}));
		const byClient = (a: { client: string; client_port: number }, b: { client: string; client_port: number }) =>
			a.client_port - b.client_port || a.client.localeCompare(b.client);
		expect(
			rows
				.map((row) => ({ ...row, received_bytes: String(row.received_bytes), sent_bytes: String(row.sent_bytes) }))
				.toSorted(byClient),
		).toEqual(expected.toSorted(byClient));

		const [first] = expected;
		const peer = `${first?.peer}:${first?.peer_port}`;
		const [{ opened }] = (await clickhouse.query<{ opened: string }>(
			`SELECT opened FROM toascope.connections WHERE client = '${first?.client}' AND client_port = ${first?.client_port}`,
		)) as [{ opened: string }];
		const openedAt = new Date(`${opened.replace(' ', 'T').slice(0, 23)}Z`);
		const answer = await ask(peer, openedAt);
		expect(answer.err).toContain('connections.retain');
		expect(answer.err).toContain('deploy/fleet');
		expect(answer.err).not.toContain('secret');
		expect(answer.rows).toMatchObject([{ client: first?.client, client_port: first?.client_port, state: 'closed' }]);
		expect((await ask(peer, before)).rows).toEqual([]);
	});

	it('a connection that is open has one row, which its later records replace', {
		timeout: scaleTimeout(120_000),
	}, async () => {
		const running = client.run({
			from: '2001:db8:c:0:a::1',
			to: nat64Server,
			port: listenPort,
			send: 300,
			receive: 70,
			hold: true,
		});
		const [result] = await running;
		const ofClient = `client = '${result?.client}'`;
		await untilStored(1, `${ofClient} AND state = 'open'`);
		const [open] = await stored(ofClient);
		expect(open).toMatchObject({ client_port: result?.clientPort, state: 'open' });
		const peer = `${open?.peer}:${open?.peer_port}`;
		await client.release();
		await untilStored(1, `${ofClient} AND state = 'closed'`);
		const rows = await stored(ofClient);
		expect(rows).toMatchObject([{ client_port: result?.clientPort, state: 'closed' }]);
		expect(rows.map(({ received_bytes, sent_bytes }) => [String(received_bytes), String(sent_bytes)])).toEqual([
			['300', '70'],
		]);
		// while it was open
		const { rows: found } = await ask(peer, new Date(Date.now() - 5000));
		expect(found).toMatchObject([{ client: result?.client, client_port: result?.clientPort }]);
	});
});
