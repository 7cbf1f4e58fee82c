// SPDX-License-Identifier: Apache-2.0
/** The routes of DESIGN.md, section 7: each a view on the store. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { contentTypes, negotiateCreated, negotiateFormat, negotiateGzip } from '../export/prometheus/accept.ts';
import type { PrometheusExporter } from '../export/prometheus/exporter.ts';
import type { LookupQuery } from '../model/lookup.ts';
import { jsonOf } from './body.ts';
import { clientsAnswer } from './clients.ts';
import { connectionJson, stringify } from './json.ts';
import { large } from './limits.ts';
import { sendPieces } from './pieces.ts';
import type { View } from './ports.ts';
import { HttpProblem } from './problem.ts';
import { readBatch, readClientsQuery, readLookup, readMetricsQuery, readStatusQuery } from './query.ts';
import { Series, Turns } from './turns.ts';

const moduleAlone = 'BPF is refused on this host: toa.ko works alone, and tells applications alone';

export function addRoutes(app: FastifyInstance, view: View, metrics: PrometheusExporter): void {
	app.get('/metrics', large, async (request, reply) => {
		const { accept, 'accept-encoding': encodings } = request.headers;
		const format = negotiateFormat(accept);
		const created = readMetricsQuery(request.query).created ?? negotiateCreated(accept);
		reply.header('content-type', contentTypes[format]).header('vary', 'accept, accept-encoding');
		const pieces = request.method === 'HEAD' ? [] : metrics.render(format, created);
		await sendPieces(request, reply, pieces, { gzip: negotiateGzip(encodings), giveBack: metrics.giveBack });
	});

	app.get('/healthz', (_request, reply) => plain(reply, 'alive\n'));

	app.get('/readyz', (_request, reply) => {
		if (view.notReady().length > 0) throw notReady(view);
		return plain(reply, 'ready\n');
	});

	const requireConnections = () => {
		if (!view.knowsConnections()) throw new HttpProblem(501, moduleAlone);
	};
	const connections = (query: LookupQuery) => ({
		connections: view.lookup(query).map((connection) => connectionJson(connection, view.clock)),
	});
	app.addHook('preHandler', async ({ url }) => {
		if (/^\/v1\/(connections|clients)/.test(url)) requireConnections();
	});
	const series = new Series();
	app.get('/v1/connections', (request) => {
		const query = readLookup(request.query, view.clock);
		return series.run(() => connections(query));
	});
	app.post('/v1/connections', large, async (request) => {
		const results: ReturnType<typeof connections>[] = [];
		const turns = new Turns();
		for (const query of readBatch(await jsonOf(app, request), view.clock)) {
			// each searches the table of connections, which may have millions
			if (turns.due) await turns.next();
			results.push(connections(query));
		}
		return { results };
	});

	app.get('/v1/clients', large, async (request, reply) => {
		const { limit, sort } = readClientsQuery(request.query);
		const snapshot = view.snapshot();
		if (snapshot === undefined) throw notReady(view);
		reply.type('application/json; charset=utf-8');
		return clientsAnswer(snapshot, limit, sort);
	});

	app.get('/v1/status', async (request, reply) => {
		const asked = readStatusQuery(request.query);
		if (asked.fresh) await view.fresh();
		const peers = asked.peers ? ((await view.peers()) ?? null) : undefined;
		// the text as well: of many requests that wait for the peers each is answered in its turn
		const text = await series.run(() => stringify({ ...view.status(), ...(peers !== undefined && { peers }) }));
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
