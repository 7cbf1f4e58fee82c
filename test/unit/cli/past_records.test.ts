// SPDX-License-Identifier: Apache-2.0
/** What a lookup says about a time whose connections the daemon no longer knows. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pastRecords } from '../../../daemon/cli/past_records.ts';
import type { Status } from '../../../daemon/client/status.ts';
import { statusOf } from '../../kit/model/status.ts';

const peer = { family: 4, text: '198.51.100.7', port: 28_404 } as const;
const at = Date.parse('2025-11-24T03:12:00Z');
const span = { fromMs: at, toMs: at + 59_999 };
const logs = {
	signal: 'logs',
	url: 'http://collector:4318/v1/logs',
	exported: '1',
	rejected: '0',
	failed_requests: '0',
	succeeded_at: null,
	failing: null,
	rejection: null,
} as const;

let status: Partial<Status> | undefined;
const server = createServer((_request, response) => {
	response.writeHead(status === undefined ? 503 : 200).end(JSON.stringify(status ?? {}));
});
let url = '';
beforeAll(async () => {
	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
	url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

const withOtlp = (change: Partial<Status>) => {
	status = { ...statusOf({ values: { 'connections.retain': '2 min' } }), ...change };
	return pastRecords({ url }, peer, span);
};

it('where the records go, and the query with the peer and the time filled in', async () => {
	const found = await withOtlp({ otlp: [logs] });
	expect(found?.hint).toBe(
		'a closed connection is kept here for 2 min (connections.retain), and its record goes to http://collector:4318/v1/logs: standard output has the query for the ClickHouse tables of deploy/fleet',
	);
	expect(found?.query).toMatch(/^SELECT client, client_port/);
	expect(found?.query).toContain("peer_address = toIPv6('198.51.100.7')");
	expect(found?.query).toContain('peer_port = 28404');
	expect(found?.query).toContain("'2025-11-24 03:12:00.000'");
	expect(found?.query).toContain("'2025-11-24 03:12:59.999999'");
	expect(found?.query).not.toContain('{');
});

it('how to switch records on', async () => {
	expect(await withOtlp({ otlp: [] })).toEqual({
		hint: 'a closed connection is kept here for 2 min (connections.retain); with otel.logs: on, its record is sent: docs/telemetry.md#connection-records',
		query: undefined,
	});
});

it('which variable disables them', async () => {
	expect(await withOtlp({ otlp: [], otlp_off: { logs: 'OTEL_LOGS_EXPORTER=none' } })).toMatchObject({
		hint: expect.stringContaining('otel.logs is on, but OTEL_LOGS_EXPORTER=none disables it'),
		query: undefined,
	});
});

it('nothing about a time that the daemon still knows', async () => {
	status = statusOf({ values: { 'connections.retain': '2 min' } });
	const now = Date.now();
	expect(await pastRecords({ url }, peer, { fromMs: now - 60_000, toMs: now - 60_000 })).toBeUndefined();
	expect(await pastRecords({ url }, peer, { fromMs: now - 180_000, toMs: now - 130_000 })).toBeDefined();
});

it('nothing where the daemon does not say', async () => {
	expect(await withOtlp({ config: undefined } as unknown as Partial<Status>)).toBeUndefined();
	status = undefined;
	expect(await pastRecords({ url }, peer, span)).toBeUndefined();
	expect(await pastRecords({ url: 'http://127.0.0.1:1' }, peer, span)).toBeUndefined();
});
