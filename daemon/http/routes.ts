// SPDX-License-Identifier: Apache-2.0
/** The routes of the HTTP API (docs/http.md), each of them a view of the store. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { TimeSlice, WorkQueue } from '../event_loop.ts';
import { contentTypes, negotiateCreated, negotiateFormat, negotiateGzip } from '../export/prometheus/accept.ts';
import type { PrometheusExporter } from '../export/prometheus/exporter.ts';
import type { Connection } from '../model/connection.ts';
import type { LookupQuery } from '../model/lookup.ts';
import type { TraceIds } from '../model/trace_ids.ts';
import { parseJsonBody } from './body.ts';
import { sendChunks } from './chunks.ts';
import { clientsResponse } from './clients.ts';
import { type ConnectionContext, connectionFields, connectionPart } from './json.ts';
import { largeResponse } from './limits.ts';
import { HttpProblem } from './problem.ts';
import { readBatch, readClientsQuery, readLookup, readMetricsQuery, readStatusQuery } from './query.ts';
import type { View } from './view.ts';

const moduleOnly = 'BPF is refused on this host; toa.ko, in use instead, reports clients only to applications';

/** Connections in the response to a batch: some 17 MB of JSON. */
const foundMax = 20_000;

export function addRoutes(app: FastifyInstance, view: View, metrics: PrometheusExporter): void {
	app.get('/metrics', largeResponse, async (request, reply) => {
		const { accept, 'accept-encoding': encodings } = request.headers;
		const format = negotiateFormat(accept);
		const created = readMetricsQuery(request.query).created ?? negotiateCreated(accept);
		reply.header('content-type', contentTypes[format]).header('vary', 'accept, accept-encoding');
		const chunks = request.method === 'HEAD' ? [] : metrics.render(format, created);
		await sendChunks(request, reply, chunks, { gzip: negotiateGzip(encodings), release: metrics.release });
	});

	app.get('/healthz', (_request, reply) => plain(reply, 'alive\n'));

	app.get('/readyz', (_request, reply) => {
		if (view.notReady().length > 0) throw notReady(view);
		return plain(reply, 'ready\n');
	});

	const requireConnections = () => {
		if (!view.tracksConnections()) throw new HttpProblem(501, moduleOnly);
	};
	/** Both ids of a connection come from one hash. */
	let traced: { readonly connection: Connection; readonly ids: TraceIds | undefined } | undefined;
	const traceOf = (connection: Connection) => {
		if (traced?.connection !== connection) traced = { connection, ids: view.traceOf(connection) };
		return traced.ids;
	};
	const context: ConnectionContext = {
		clock: view.clock,
		traceOf,
		containerOf: (connection) => view.containerOf(connection),
	};
	const lookUp = (query: LookupQuery, fields = connectionFields) => {
		const { connections, truncated } = view.lookup(query);
		const found = connections.map((connection) => connectionPart(connection, fields, context));
		return truncated ? { connections: found, truncated } : { connections: found };
	};
	app.addHook('preHandler', async ({ url }) => {
		if (/^\/v1\/(connections|clients)/.test(url)) requireConnections();
	});
	const queue = new WorkQueue();
	app.get('/v1/connections', async (request) => {
		const query = readLookup(request.query, view.clock);
		await view.refreshLookups();
		return queue.run(() => lookUp(query));
	});
	app.post('/v1/connections', largeResponse, async (request, reply) => {
		const { queries, fields } = readBatch(await parseJsonBody(app, request), view.clock);
		await view.refreshLookups();
		// text at once: the objects of a thousand lookups would outlive their garbage collection
		const results: string[] = [];
		const slice = new TimeSlice();
		let found = 0;
		for (const query of queries) {
			if (slice.expired) await slice.yield();
			const result = lookUp(query, fields);
			found += result.connections.length;
			if (found > foundMax) {
				throw new HttpProblem(413, `the batch finds more than ${foundMax} connections: ask for less at a time`);
			}
			results.push(JSON.stringify(result));
		}
		return reply.type('application/json; charset=utf-8').send(`{"results":[${results.join(',')}]}`);
	});

	app.get('/v1/clients', largeResponse, async (request, reply) => {
		const { limit, sort } = readClientsQuery(request.query);
		const snapshot = view.snapshot();
		if (snapshot === undefined) throw notReady(view);
		reply.type('application/json; charset=utf-8');
		return clientsResponse(snapshot, limit, sort);
	});

	app.get('/v1/status', async (request, reply) => {
		const query = readStatusQuery(request.query);
		if (query.fresh) await view.nextCollection();
		const peers = query.peers ? ((await view.peers()) ?? null) : undefined;
		// also serialized in the queue: many requests that wait for the peers continue one by one
		const text = await queue.run(() => JSON.stringify({ ...view.status(), ...(peers !== undefined && { peers }) }));
		return reply.type('application/json; charset=utf-8').send(text);
	});
}

function notReady(view: View): HttpProblem {
	const reasons = view.notReady();
	return new HttpProblem(503, `not ready: ${reasons.map(({ text }) => text).join('; ')}`, { not_ready: reasons });
}

function plain(reply: FastifyReply, text: string): FastifyReply {
	return reply.type('text/plain; charset=utf-8').send(text);
}
