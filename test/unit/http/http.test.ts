// SPDX-License-Identifier: Apache-2.0
/** The routes, what they refuse, and the errors that they return. */

import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { closeAfterEach, get, start } from '../../kit/model/http_app.ts';
import { statusJson } from '../../kit/model/status.ts';
import { closed, type FixtureView, fixtureView } from '../../kit/model/view.ts';

closeAfterEach();

describe('/metrics', () => {
	it.each([
		['text/plain', 'text/plain; version=0.0.4; charset=utf-8', 'prometheus'],
		['application/openmetrics-text', 'application/openmetrics-text; version=1.0.0; charset=utf-8', 'openmetrics'],
	])('is served as %s', async (accept, type, name) => {
		const response = await start().inject({ url: '/metrics', headers: { accept } });
		expect(response.statusCode).toBe(200);
		expect(response.headers['content-type']).toBe(type);
		expect(response.headers.vary).toContain('accept');
		expect(response.headers['content-encoding']).toBeUndefined();
		await expect(response.body).toMatchFileSnapshot(`../../kit/model/metrics.${name}.txt`);
	});

	/** What Prometheus accepts, and what it accepts in addition if it uses created timestamps. */
	const usual =
		'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1';
	const proto = 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.3';

	it.each([
		['', 'application/openmetrics-text', true],
		['', usual, false],
		['', `${usual},${proto}`, true],
		['', 'text/plain', false],
		['?created=on', usual, true],
		['?created=off', 'application/openmetrics-text', false],
		['?created=on', 'text/plain', false],
		['?other=1', usual, false],
	])('has _created lines only for those that want them: %s %s', async (query, accept, created) => {
		const response = await start().inject({ url: `/metrics${query}`, headers: { accept } });
		expect(response.statusCode).toBe(200);
		expect(response.body.includes('_created{client="2001:db8:c::1"')).toBe(created);
	});

	it('refuses an unknown value', async () => {
		expect((await start().inject('/metrics?created=yes')).json()).toMatchObject({ status: 400 });
	});

	it.each(['text/plain', 'application/openmetrics-text'])('is compressed on request, %s', async (accept) => {
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

	it('is alive but not ready before that', async () => {
		const app = start(fixtureView({ attached: false }));
		expect((await app.inject('/healthz')).statusCode).toBe(200);
		const response = await app.inject('/readyz');
		expect(response.statusCode).toBe(503);
		expect(response.headers['content-type']).toMatch(/^application\/problem\+json(;|$)/);
		expect(response.json()).toMatchObject({ status: 503, code: 'SERVICE_UNAVAILABLE' });
	});

	it('returns every reason why it is not ready, as text and as a list', async () => {
		const reasons = [
			{ reason: 'first_collection', text: 'the first collection is awaited' },
			{ reason: 'program_sockops', text: 'toascope_sockops is not attached' },
		];
		const response = await start(fixtureView({ notReady: reasons })).inject('/readyz');
		expect(response.statusCode).toBe(503);
		expect(response.json()).toEqual({
			type: 'about:blank',
			title: 'Service Unavailable',
			status: 503,
			code: 'SERVICE_UNAVAILABLE',
			detail: 'not ready: the first collection is awaited; toascope_sockops is not attached',
			not_ready: reasons,
		});
	});
});

describe('/v1/clients', () => {
	const names = async (query: string): Promise<string[]> =>
		(await get(`/v1/clients${query}`)).body.clients.map(({ client }: { client: string }) => client);

	it('returns the exported series, with integers as decimal strings', async () => {
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
		['order=asc', "unknown parameter 'order'"],
	])('refuses ?%s', async (query, detail) => {
		const { status, body } = await get(`/v1/clients?${query}`);
		expect(status).toBe(400);
		expect(body.detail).toContain(detail);
	});

	it('is unavailable before the first snapshot', async () => {
		expect((await get('/v1/clients', fixtureView({ attached: false }))).status).toBe(503);
	});
});

it('/v1/status returns the status of the store', async () => {
	const { body } = await get('/v1/status');
	expect(body).toMatchObject({ provider: 'bpf', total: { opened: '3' } });
});

it('/v1/status returns peers on request', async () => {
	const busiest = [
		{ address: '10.0.0.1', verdict: 'none', listener: '192.0.2.10:443', trusted: false, connections: 3 },
	];
	const view = { ...fixtureView(), peers: async () => ({ connections: 3, busiest, listening: [] }) } as FixtureView;
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

it('/v1/status waits for a collection on request', async () => {
	let collected = 0;
	const view = {
		...fixtureView(),
		nextCollection: async () => void collected++,
		status: () => statusJson({ now: { opened: collected } }),
	} as FixtureView;
	expect((await get('/v1/status', view)).body).toMatchObject({ total: { opened: '0' } });
	expect((await get('/v1/status?fresh=on', view)).body).toMatchObject({ total: { opened: '1' } });
	expect(await get('/v1/status?fresh=now', view)).toMatchObject({
		status: 400,
		body: { detail: 'fresh must be on or off' },
	});
});

describe('errors', () => {
	it.each([
		['GET', '/nothing', 404, 'NOT_FOUND', 'no such path'],
		['GET', '/', 404, 'NOT_FOUND', 'paths are /metrics, /healthz, /readyz, /v1/connections, /v1/clients, /v1/status'],
		['GET', '/debug/pprof', 404, 'NOT_FOUND', ''],
		['GET', '/v1/%zz', 400, 'BAD_REQUEST', ''],
		['POST', '/metrics', 405, 'METHOD_NOT_ALLOWED', 'method POST is not allowed here; allowed: GET, HEAD'],
		['DELETE', '/v1/connections?peer=10.0.0.1:1', 405, 'METHOD_NOT_ALLOWED', 'allowed: GET, HEAD, POST'],
		['OPTIONS', '/v1/clients', 405, 'METHOD_NOT_ALLOWED', 'allowed: GET, HEAD'],
	] as const)('%s %s', async (method, url, status, code, detail) => {
		const response = await start().inject({ method, url });
		expect(response.statusCode).toBe(status);
		expect(response.headers['content-type']).toMatch(/^application\/problem\+json(;|$)/);
		const problem = { type: 'about:blank', status, code, detail: expect.stringContaining(detail) };
		expect(response.json()).toMatchObject(problem);
		if (status === 405) expect(response.headers.allow).toMatch(/^GET, HEAD(, POST)?$|^HEAD, GET(, POST)?$/);
	});

	it('does not reveal internal errors', async () => {
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

	it('reports a temporary refusal by the kernel, with its error code', async () => {
		const view: FixtureView = {
			...fixtureView(),
			lookup() {
				throw Object.assign(new Error('secret'), { code: 'ENOMEM', errno: 12 });
			},
		};
		const { status, body } = await get('/v1/connections?peer=10.0.0.1:1', view);
		expect(status).toBe(503);
		expect(body.detail).toBe('the kernel has refused the operation (ENOMEM); retry later');
	});

	it('keeps responses out of caches', async () => {
		const response = await start(fixtureView({ connections: [closed] })).inject('/v1/connections?peer=10.0.0.1:4711');
		expect(response.headers['cache-control']).toBe('no-store');
		expect(response.headers['x-content-type-options']).toBe('nosniff');
	});
});
