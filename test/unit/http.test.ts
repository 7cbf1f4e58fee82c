// SPDX-License-Identifier: Apache-2.0
/** The routes, what they refuse, and how they say so. */
import { gunzipSync } from 'node:zlib';
import type { FastifyInstance, InjectOptions } from 'fastify';
import pino from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { createHttp, httpLimits } from '../../daemon/http/app.ts';
import { batchMax } from '../../daemon/http/query.ts';
import { bootNs, closed, type FixtureView, fixtureExporter, fixtureView, open } from '../fixtures/view.ts';

const apps: FastifyInstance[] = [];

function start(view: FixtureView = fixtureView()): FastifyInstance {
	const app = createHttp({ view, metrics: fixtureExporter(view.snapshot), logger: pino({ level: 'silent' }) });
	apps.push(app);
	return app;
}

afterEach(async () => {
	await Promise.all(apps.splice(0).map((app) => app.close()));
});

async function get(url: string, view?: FixtureView) {
	const response = await start(view).inject(url);
	return { status: response.statusCode, body: response.json() };
}

describe('/metrics', () => {
	it.each([
		['text/plain', 'text/plain; version=0.0.4; charset=utf-8', 'prometheus'],
		['application/openmetrics-text', 'application/openmetrics-text; version=1.0.0; charset=utf-8', 'openmetrics'],
	])('for %s', async (accept, type, name) => {
		const response = await start().inject({ url: '/metrics', headers: { accept } });
		expect(response.statusCode).toBe(200);
		expect(response.headers['content-type']).toBe(type);
		expect(response.headers.vary).toContain('accept');
		expect(response.headers['content-encoding']).toBeUndefined();
		await expect(response.body).toMatchFileSnapshot(`../fixtures/metrics.${name}.txt`);
	});

	it.each(['text/plain', 'application/openmetrics-text'])('compressed, %s', async (accept) => {
		const app = start();
		const bare = await app.inject({ url: '/metrics', headers: { accept } });
		const zipped = await app.inject({ url: '/metrics', headers: { accept, 'accept-encoding': 'gzip' } });
		expect(zipped.headers['content-encoding']).toBe('gzip');
		expect(gunzipSync(zipped.rawPayload).toString()).toBe(bare.body);
		expect(zipped.rawPayload.length).toBeLessThan(bare.rawPayload.length / 3);
	});

	it('answers HEAD, and GET before anything is attached', async () => {
		const app = start(fixtureView({ attached: false }));
		expect((await app.inject({ method: 'HEAD', url: '/metrics' })).body).toBe('');
		expect((await app.inject('/metrics')).body).toContain('toascope_build_info');
	});
});

describe('health', () => {
	it('is alive and ready when attached', async () => {
		const app = start();
		expect((await app.inject('/healthz')).statusCode).toBe(200);
		expect((await app.inject('/readyz')).statusCode).toBe(200);
	});

	it('is alive and not ready before', async () => {
		const app = start(fixtureView({ attached: false }));
		expect((await app.inject('/healthz')).statusCode).toBe(200);
		const response = await app.inject('/readyz');
		expect(response.statusCode).toBe(503);
		expect(response.headers['content-type']).toMatch(/^application\/problem\+json(;|$)/);
		expect(response.json()).toMatchObject({ status: 503, code: 'SERVICE_UNAVAILABLE' });
	});
});

const openJson = {
	peer: { address: '10.0.0.1', port: 4711 },
	client: { address: '2001:db8::1', port: 5555 },
	local: { address: '192.0.2.10', port: 443 },
	netns: 4_026_531_840,
	verdict: 'toa',
	profile: 'nat64',
	segment: 'ack',
	state: 'open',
	opened_at: '2025-10-09T08:53:20.123456789Z',
	accepted_at: '2025-10-09T08:53:20.200000000Z',
	closed_at: null,
	seen: 'getpeername',
	process: { pid: 123, comm: 'nginx', cgroup_id: '18446744073709551615', by: 'accept' },
	received_bytes: '3200',
	sent_bytes: '9223372036854775807',
	retransmitted_segments: 2,
	rtt_seconds: 0.0015,
};

const closedJson = {
	...openJson,
	netns: 4_026_532_000,
	client: null,
	verdict: 'none',
	profile: null,
	segment: null,
	state: 'closed',
	accepted_at: null,
	closed_at: '2025-10-09T08:53:25.000000000Z',
	seen: null,
	process: null,
	received_bytes: '17',
	sent_bytes: '0',
	retransmitted_segments: 0,
	rtt_seconds: null,
};

describe('/v1/connections', () => {
	it('gives all connections of a peer', async () => {
		const { status, body } = await get('/v1/connections?peer=10.0.0.1:4711');
		expect(status).toBe(200);
		expect(body).toEqual({ connections: [openJson, closedJson] });
	});

	it('gives an empty list for a peer that is not known', async () => {
		expect(await get('/v1/connections?peer=10.0.0.2:1')).toEqual({ status: 200, body: { connections: [] } });
	});

	it('passes every condition on', async () => {
		const view = fixtureView();
		await get('/v1/connections?peer=[2001:DB8::1]:1&local=192.0.2.10:443&netns=4026531840&at=1760000001.5', view);
		expect(view.asked).toEqual([
			{
				peer: { family: 6, text: '2001:db8::1', port: 1 },
				local: { family: 4, text: '192.0.2.10', port: 443 },
				netns: 4_026_531_840,
				atNs: 1_500_000_000n,
			},
		]);
	});

	it.each([
		['1760000000', 0n],
		['1760000000.000000001', 1n],
		['2025-10-09T08:53:20Z', 0n],
		['2025-10-09t08:53:20.123456789z', 123_456_789n],
		['2025-10-09T10:53:20%2B02:00', 0n],
		['2025-10-09T10:53:20+02:00', 0n],
		['2025-10-09T03:53:21-05:00', 1_000_000_000n],
		['1969-12-31T23:59:59.5Z', -500_000_000n - bootNs],
	])('at=%s', async (at, atNs) => {
		const view = fixtureView();
		const { status } = await get(`/v1/connections?peer=10.0.0.1:4711&at=${at}`, view);
		expect(status).toBe(200);
		expect(view.asked[0]?.atNs).toBe(atNs);
	});

	it('finds a connection by the time that it showed', async () => {
		const view = fixtureView();
		await get(`/v1/connections?peer=10.0.0.1:4711&at=${openJson.opened_at}`, view);
		expect(view.asked[0]?.atNs).toBe(open.openedNs);
	});

	it.each([
		['', 'BAD_REQUEST', 'peer is missing'],
		['peer=', 'BAD_ADDRESS', 'is not an IP address'],
		['peer=2001:db8::1:80', 'BAD_ADDRESS', 'write 192.0.2.1:443 or [2001:db8::1]:443'],
		['peer=10.0.0.1:1&local=x', 'BAD_ADDRESS', "'x' is not an IP address"],
		['peer=10.0.0.1:1&peer=10.0.0.2:1', 'BAD_REQUEST', 'peer must be one string'],
		['peer=10.0.0.1:1&netns=-1', 'BAD_REQUEST', 'netns must be a whole number'],
		['peer=10.0.0.1:1&netns=99999999999', 'BAD_REQUEST', 'netns must be a whole number'],
		['peer=10.0.0.1:1&at=yesterday', 'BAD_REQUEST', 'at must be a time such as'],
		['peer=10.0.0.1:1&at=2025-02-30T00:00:00Z', 'BAD_REQUEST', 'at must be a time such as'],
		['peer=10.0.0.1:1&at=2025-01-01T00:00:00', 'BAD_REQUEST', 'at must be a time such as'],
		['peer=10.0.0.1:1&loacl=10.0.0.2:1', 'BAD_REQUEST', "there is no parameter 'loacl'"],
	])('refuses ?%s', async (query, code, detail) => {
		const { status, body } = await get(`/v1/connections?${query}`);
		expect(status).toBe(400);
		expect(body).toEqual({
			type: 'about:blank',
			title: 'Bad Request',
			status: 400,
			code,
			detail: expect.stringContaining(detail),
		});
	});
});

describe('a batch', () => {
	const post = (payload: InjectOptions['payload'], view?: FixtureView) =>
		start(view).inject({ method: 'POST', url: '/v1/connections', payload: payload ?? '' });

	it('is answered in order', async () => {
		const response = await post({ queries: [{ peer: '10.0.0.2:1' }, { peer: '10.0.0.1:4711', netns: 4_026_531_840 }] });
		expect(response.statusCode).toBe(200);
		expect(response.json()).toEqual({
			results: [{ connections: [] }, { connections: [openJson, closedJson] }],
		});
	});

	it('takes the most that are allowed, and no more', async () => {
		const queries = (count: number) => ({ queries: Array.from({ length: count }, () => ({ peer: '10.0.0.9:1' })) });
		expect((await post(queries(batchMax))).json().results).toHaveLength(batchMax);
		const response = await post(queries(batchMax + 1));
		expect(response.statusCode).toBe(413);
		expect(response.json().detail).toContain('at most 1000');
	});

	it.each([
		[{}, 'BAD_REQUEST', 'the body must be'],
		[{ queries: {} }, 'BAD_REQUEST', 'the body must be'],
		[{ queries: [], other: 1 }, 'BAD_REQUEST', 'the body must be'],
		[{ queries: [{ peer: '10.0.0.1:1' }, { peer: 'x' }] }, 'BAD_ADDRESS', "queries[1]: bad address 'x'"],
		[{ queries: [null] }, 'BAD_REQUEST', 'queries[0]: must be an object'],
		[{ queries: [['10.0.0.1:1']] }, 'BAD_REQUEST', 'queries[0]: must be an object'],
		[{ queries: [{ peer: {} }] }, 'BAD_REQUEST', 'queries[0]: peer must be one string'],
	])('refuses %j', async (payload, code, detail) => {
		const response = await post(payload);
		expect(response.statusCode).toBe(400);
		expect(response.json().code).toBe(code);
		expect(response.headers['content-type']).toMatch(/^application\/problem\+json(;|$)/);
		expect(response.json().detail).toContain(detail);
	});

	it.each([
		['application/json', '{"queries": [', 400, 'not valid JSON'],
		['application/json', 'null', 400, 'the body must be'],
		['application/json', '', 400, 'empty'],
		['text/plain', '{"queries": []}', 415, 'content-type: application/json'],
		['application/json', `{"queries": ["${'x'.repeat(httpLimits.bodyBytes)}"]}`, 413, 'too large'],
	])('refuses a body of %s', async (type, payload, status, detail) => {
		const response = await start().inject({
			method: 'POST',
			url: '/v1/connections',
			headers: { 'content-type': type },
			payload,
		});
		expect(response.statusCode).toBe(status);
		expect(response.json()).toMatchObject({ type: 'about:blank', status, detail: expect.stringContaining(detail) });
	});
});

describe('/v1/clients', () => {
	const names = async (query: string): Promise<string[]> =>
		(await get(`/v1/clients${query}`)).body.clients.map(({ client }: { client: string }) => client);

	it('gives the exported set, integers as decimal strings', async () => {
		const { status, body } = await get('/v1/clients?limit=1');
		expect(status).toBe(200);
		expect(body).toEqual({
			at: '2025-10-09T08:55:00.000000000Z',
			total: 3,
			clients: [
				{
					client: '2001:db8:c::1',
					listener: '192.0.2.10:443',
					since: '2025-10-09T08:53:20.000000001Z',
					connections_active: '3',
					connections_opened: '9007199254740993',
					connections_closed: '9007199254740990',
					received_bytes: '9007199254740991',
					sent_bytes: '9223372036854775807',
					retransmitted_segments: '1',
					rtt_sum_ns: '9223372036854775807',
					rtt_count: '2',
					duration_sum_ns: '12000000050',
				},
			],
		});
	});

	it.each([
		['', ['2001:db8:c::1', 'direct', 'other']],
		['?limit=2', ['2001:db8:c::1', 'direct']],
		['?sort=sent_bytes&limit=1', ['2001:db8:c::1']],
		['?sort=connections_active', ['2001:db8:c::1', 'direct', 'other']],
	])('%s', async (query, clients) => {
		expect(await names(query)).toEqual(clients);
	});

	it.each([
		['limit=0', 'limit must be a whole number from 1 to 10000'],
		['limit=10001', 'limit must be'],
		['limit=ten', 'limit must be'],
		['sort=name', 'sort must be one of received_bytes, sent_bytes'],
		['sort=toString', 'sort must be one of'],
		['order=asc', "there is no parameter 'order'"],
	])('refuses ?%s', async (query, detail) => {
		const { status, body } = await get(`/v1/clients?${query}`);
		expect(status).toBe(400);
		expect(body.detail).toContain(detail);
	});

	it('is not there before the first snapshot', async () => {
		expect((await get('/v1/clients', fixtureView({ attached: false }))).status).toBe(503);
	});
});

it('/v1/status shows what the store says', async () => {
	const { body } = await get('/v1/status');
	expect(body).toEqual({ provider: 'bpf', ring_records: '18446744073709551615' });
});

it('/v1/status tells of peers when it is asked to', async () => {
	const busiest = [
		{ address: '10.0.0.1', verdict: 'none', listener: '192.0.2.10:443', trusted: false, connections: 3 },
	];
	const view = { ...fixtureView(), peers: async () => ({ connections: 3, busiest }) } as FixtureView;
	expect((await get('/v1/status?peers=on', view)).body).toMatchObject({
		provider: 'bpf',
		peers: { connections: 3, busiest },
	});
	expect((await get('/v1/status?peers=off', view)).body).not.toHaveProperty('peers');
	expect(await get('/v1/status?peers=maybe', view)).toMatchObject({
		status: 400,
		body: { detail: 'peers must be on or off' },
	});
	expect(await get('/v1/status?all=on', view)).toMatchObject({ status: 400 });
});

describe('errors', () => {
	it.each([
		['GET', '/nothing', 404, 'NOT_FOUND', 'nothing at this path'],
		['GET', '/', 404, 'NOT_FOUND', 'only at /metrics, /healthz, /readyz, /v1/connections, /v1/clients, /v1/status'],
		['GET', '/debug/pprof', 404, 'NOT_FOUND', ''],
		['GET', '/v1/%zz', 400, 'BAD_REQUEST', ''],
		['POST', '/metrics', 405, 'METHOD_NOT_ALLOWED', 'POST is not possible here, only GET, HEAD'],
		['DELETE', '/v1/connections?peer=10.0.0.1:1', 405, 'METHOD_NOT_ALLOWED', 'only GET, HEAD, POST'],
		['OPTIONS', '/v1/clients', 405, 'METHOD_NOT_ALLOWED', 'only GET, HEAD'],
	] as const)('%s %s', async (method, url, status, code, detail) => {
		const response = await start().inject({ method, url });
		expect(response.statusCode).toBe(status);
		expect(response.headers['content-type']).toMatch(/^application\/problem\+json(;|$)/);
		const said = { type: 'about:blank', status, code, detail: expect.stringContaining(detail) };
		expect(response.json()).toMatchObject(said);
		if (status === 405) expect(response.headers.allow).toMatch(/^GET, HEAD(, POST)?$|^HEAD, GET(, POST)?$/);
	});

	it('says nothing of the inside when something breaks', async () => {
		const view: FixtureView = {
			...fixtureView(),
			lookup() {
				throw new Error('secret');
			},
		};
		const { status, body } = await get('/v1/connections?peer=10.0.0.1:1', view);
		expect(status).toBe(500);
		expect(JSON.stringify(body)).not.toContain('secret');
		expect(body.code).toBe('INTERNAL_SERVER_ERROR');
	});

	it('keeps answers out of caches', async () => {
		const response = await start(fixtureView({ connections: [closed] })).inject('/v1/connections?peer=10.0.0.1:4711');
		expect(response.headers['cache-control']).toBe('no-store');
		expect(response.headers['x-content-type-options']).toBe('nosniff');
	});
});
