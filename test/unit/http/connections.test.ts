// SPDX-License-Identifier: Apache-2.0
/** Lookups of connections, single and in batches. */
import type { InjectOptions } from 'fastify';
import { describe, expect, it } from 'vitest';
import { httpLimits } from '../../../daemon/http/limits.ts';
import { batchMax } from '../../../daemon/http/query.ts';
import { closeAfterEach, get, start } from '../../kit/model/http_app.ts';
import { bootNs, type FixtureView, fixtureView, open } from '../../kit/model/view.ts';

closeAfterEach();

const openJson = {
	peer: { address: '10.0.0.1', port: 4711 },
	client: { address: '2001:db8::1', port: 5555 },
	virtual_server: null,
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
	process: { pid: 123, comm: 'nginx', cgroup_id: '18446744073709551615', container_id: 'c'.repeat(64), by: 'accept' },
	received_bytes: '3200',
	sent_bytes: '9223372036854775807',
	retransmitted_segments: 2,
	rtt_seconds: 0.0015,
	accept_wait_seconds: 0.076_543_211,
	error: null,
	trace_id: 'a'.repeat(32),
	span_id: 'b'.repeat(16),
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
	accept_wait_seconds: null,
	error: 'ECONNRESET',
	trace_id: null,
	span_id: null,
};

describe('/v1/connections', () => {
	it('returns all connections of a peer', async () => {
		const { status, body } = await get('/v1/connections?peer=10.0.0.1:4711');
		expect(status).toBe(200);
		expect(body).toEqual({ connections: [openJson, closedJson] });
	});

	it('returns those parts of the virtual server that the option named', async () => {
		const endpoint = { family: 4, text: '203.0.113.5', port: 443 } as const;
		const connections = [
			{ ...open, virtualServer: { endpoint, vni: 77 } },
			{ ...open, virtualServer: { endpoint: { ...endpoint, port: undefined }, vni: undefined } },
		];
		const { body } = await get('/v1/connections?peer=10.0.0.1:4711', fixtureView({ connections }));
		expect(body).toEqual({
			connections: [
				{ ...openJson, virtual_server: { address: '203.0.113.5', port: 443, vni: 77 } },
				{ ...openJson, virtual_server: { address: '203.0.113.5', port: null, vni: null } },
			],
		});
	});

	it('returns an empty list for an unknown peer', async () => {
		expect(await get('/v1/connections?peer=10.0.0.2:1')).toEqual({ status: 200, body: { connections: [] } });
	});

	it('passes every condition to the lookup', async () => {
		const view = fixtureView();
		const narrowed = `local=192.0.2.10:443&netns=4026531840&pid=7&container=${'d'.repeat(64)}`;
		const at = 'at=1760000001.5&slack_ms=250';
		await get(`/v1/connections?peer=[2001:DB8::1]:1&client=2001:DB8::2&${narrowed}&${at}`, view);
		expect(view.asked).toEqual([
			{
				peer: { family: 6, text: '2001:db8::1', port: 1 },
				client: { family: 6, text: '2001:db8::2', port: undefined },
				local: { family: 4, text: '192.0.2.10', port: 443 },
				netns: 4_026_531_840,
				pid: 7,
				container: 'd'.repeat(64),
				atNs: [1_500_000_000n],
				slackNs: 250_000_000n,
			},
		]);
	});

	it.each([
		['192.0.2.7', { family: 4, text: '192.0.2.7', port: undefined }],
		['192.0.2.7:80', { family: 4, text: '192.0.2.7', port: 80 }],
		['2001:db8::1:80', { family: 6, text: '2001:db8::1:80', port: undefined }],
		['[2001:db8::1]', { family: 6, text: '2001:db8::1', port: undefined }],
		['[2001:DB8::1]:80', { family: 6, text: '2001:db8::1', port: 80 }],
		['::ffff:192.0.2.7', { family: 4, text: '192.0.2.7', port: undefined }],
	])('client=%s', async (client, endpoint) => {
		const view = fixtureView();
		await get(`/v1/connections?client=${client}`, view);
		expect(view.asked[0]).toMatchObject({ peer: undefined, client: endpoint, slackNs: 10_000_000n });
	});

	it('says that a client has more connections than were read', async () => {
		const view = fixtureView();
		const { body } = await get('/v1/connections?client=192.0.2.7', {
			...view,
			lookup: (query) => ({ ...view.lookup(query), truncated: true }),
		});
		expect(body).toEqual({ connections: [], truncated: true });
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
		expect(view.asked[0]?.atNs).toEqual([atNs]);
	});

	it('finds a connection by the opened_at that it returned', async () => {
		const view = fixtureView();
		await get(`/v1/connections?peer=10.0.0.1:4711&at=${openJson.opened_at}`, view);
		expect(view.asked[0]?.atNs).toEqual([open.openedNs]);
	});

	it.each([
		['', 'BAD_REQUEST', 'peer or client is missing'],
		['local=10.0.0.2:1', 'BAD_REQUEST', 'peer or client is missing'],
		['client=', 'BAD_ADDRESS', 'is not an IP address'],
		['client=10.0.0.1:0', 'BAD_ADDRESS', "'0' is not a port"],
		['client=fe80::1%25eth0', 'BAD_ADDRESS', 'must have no zone'],
		['peer=10.0.0.1:1&pid=0', 'BAD_REQUEST', 'pid must be a whole number'],
		['peer=10.0.0.1:1&container=abc', 'BAD_REQUEST', 'container must be the whole id'],
		['peer=10.0.0.1:1&slack_ms=5', 'BAD_REQUEST', 'slack_ms has no effect without at'],
		['peer=10.0.0.1:1&at=1760000000&slack_ms=60001', 'BAD_REQUEST', 'slack_ms must be a whole number from 0 to 60000'],
		['peer=', 'BAD_ADDRESS', 'is not an IP address'],
		['peer=2001:db8::1:80', 'BAD_ADDRESS', 'write 192.0.2.1:443 or [2001:db8::1]:443'],
		['peer=10.0.0.1:1&local=x', 'BAD_ADDRESS', "'x' is not an IP address"],
		['peer=10.0.0.1:1&peer=10.0.0.2:1', 'BAD_REQUEST', 'peer must be a single string'],
		['peer=10.0.0.1:1&netns=-1', 'BAD_REQUEST', 'netns must be a whole number'],
		['peer=10.0.0.1:1&netns=99999999999', 'BAD_REQUEST', 'netns must be a whole number'],
		['peer=10.0.0.1:1&at=yesterday', 'BAD_REQUEST', 'at must be a time such as'],
		['peer=10.0.0.1:1&at=2025-02-30T00:00:00Z', 'BAD_REQUEST', 'at must be a time such as'],
		['peer=10.0.0.1:1&at=2025-01-01T00:00:00', 'BAD_REQUEST', 'at must be a time such as'],
		['peer=10.0.0.1:1&loacl=10.0.0.2:1', 'BAD_REQUEST', "unknown parameter 'loacl'"],
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

	it('has only the fields that are asked for', async () => {
		const fields = ['client', 'trace_id', 'rtt_seconds'];
		const response = await post({ fields, queries: [{ peer: '10.0.0.1:4711' }] });
		const { client, trace_id, rtt_seconds } = openJson;
		expect(response.json().results[0].connections[0]).toEqual({ client, trace_id, rtt_seconds });
	});

	it('is refused if it finds too many connections', async () => {
		const view = fixtureView({ connections: Array.from({ length: 100 }, () => open) });
		const found = (count: number) =>
			post({ fields: ['state'], queries: Array.from({ length: count }, () => ({ peer: '10.0.0.1:4711' })) }, view);
		expect((await found(200)).statusCode).toBe(200);
		const refused = await found(201);
		expect(refused.statusCode).toBe(413);
		expect(refused.json().detail).toContain('more than 20000 connections');
	});

	it('accepts the maximum number of queries, and no more', async () => {
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
		[{ queries: [], fields: 'client' }, 'BAD_REQUEST', 'fields must be a list of names, each once: peer, client'],
		[{ queries: [], fields: ['toString'] }, 'BAD_REQUEST', 'fields must be a list of names'],
		[{ queries: [], fields: ['local', 'peer', 'local'] }, 'BAD_REQUEST', 'each once: peer, client'],
		[{ queries: [null] }, 'BAD_REQUEST', 'queries[0]: must be an object'],
		[{ queries: [['10.0.0.1:1']] }, 'BAD_REQUEST', 'queries[0]: must be an object'],
		[{ queries: [{ peer: {} }] }, 'BAD_REQUEST', 'queries[0]: peer must be a single string'],
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
