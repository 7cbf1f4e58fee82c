// SPDX-License-Identifier: Apache-2.0
/**
 * Parses the parameters of requests. Unknown and repeated parameters are errors: a typo must not
 * widen a query.
 */

import { parseTime } from '../api/time.ts';
import { ToascopeError } from '../errors.ts';
import { parseClient, parseEndpoint } from '../model/endpoint.ts';
import type { LookupQuery } from '../model/lookup.ts';
import type { SeriesTable } from '../model/series_table.ts';
import { type ConnectionField, connectionFields, isConnectionField } from './json.ts';
import { HttpProblem } from './problem.ts';
import type { Clock } from './view.ts';

/** Maximum number of queries in one batch. */
export const batchMax = 1000;

const clientsDefault = 100;
const clientsMax = 10_000;

/** Returns the exact value by which a row of the client table is sorted. */
export type ClientSortKey = (clients: SeriesTable, row: number) => number | bigint;

/** The sort keys of `/v1/clients`; the order is descending. */
const clientSortKeys: Readonly<Record<string, ClientSortKey>> = {
	received_bytes: (clients, row) => clients.value(row, 'receivedBytes'),
	sent_bytes: (clients, row) => clients.value(row, 'sentBytes'),
	connections_active: (clients, row) => clients.active(row),
	connections_opened: (clients, row) => clients.value(row, 'opened'),
	retransmitted_segments: (clients, row) => clients.value(row, 'retransmittedSegments'),
};

const lookupParameters = ['peer', 'client', 'local', 'netns', 'pid', 'container', 'at', 'slack_ms'] as const;
const slackDefaultMs = 10;
const slackMaxMs = 60_000;

/**
 * Parses one query of `/v1/connections`, from a query string or a batch.
 *
 * @throws {HttpProblem} 400
 * @throws {ToascopeError} BAD_ADDRESS
 */
export function readLookup(input: unknown, clock: Clock): LookupQuery {
	const { peer, client, local, netns, pid, container, at, slack_ms: slack } = readParameters(input, lookupParameters);
	if (peer === undefined && client === undefined) {
		throw new HttpProblem(400, 'peer or client is missing; example: /v1/connections?peer=192.0.2.1:54321');
	}
	if (container !== undefined && !/^[0-9a-f]{64}$/.test(container)) {
		throw new HttpProblem(400, 'container must be the whole id of a container: 64 hexadecimal digits');
	}
	if (slack !== undefined && at === undefined) throw new HttpProblem(400, 'slack_ms has no effect without at');
	const slackMs = slack === undefined ? slackDefaultMs : readInteger('slack_ms', slack, 0, slackMaxMs);
	return {
		peer: peer === undefined ? undefined : parseEndpoint(peer),
		client: client === undefined ? undefined : parseClient(client),
		local: local === undefined ? undefined : parseEndpoint(local),
		netns: netns === undefined ? undefined : readInteger('netns', netns, 1, 0xffff_ffff),
		pid: pid === undefined ? undefined : readInteger('pid', pid, 1, 0x7fff_ffff),
		container,
		atNs: at === undefined ? undefined : clock.toMonotonicNs(readTime(at)),
		slackNs: BigInt(slackMs) * 1_000_000n,
	};
}

/** A batch of lookups, and the fields of each connection in the response; undefined: all. */
export interface LookupBatch {
	/**
	 * Parsed during iteration.
	 * @throws {HttpProblem} 400 that names the query
	 * @throws {ToascopeError} BAD_ADDRESS that names the query
	 */
	readonly queries: Iterable<LookupQuery>;
	readonly fields: readonly ConnectionField[] | undefined;
}

/**
 * Parses a batch: `{"queries": [{"peer": "192.0.2.1:54321"}, ...]}`, and `"fields": ["client", ...]`.
 *
 * @throws {HttpProblem} 400, 413 when there are more than `batchMax` queries
 */
export function readBatch(body: unknown, clock: Clock): LookupBatch {
	const { queries, fields, ...unknown } = (body ?? {}) as { queries?: unknown; fields?: unknown };
	if (!Array.isArray(queries) || Object.keys(unknown).length > 0) {
		throw new HttpProblem(
			400,
			'the body must be {"queries": [{"peer": "192.0.2.1:54321"}]}, with "fields" if you like',
		);
	}
	if (queries.length > batchMax) throw new HttpProblem(413, `at most ${batchMax} queries are allowed in one batch`);
	return { fields: fields === undefined ? undefined : readFields(fields), queries: readQueries(queries, clock) };
}

function* readQueries(queries: readonly unknown[], clock: Clock): Generator<LookupQuery> {
	for (const [index, query] of queries.entries()) {
		try {
			yield readLookup(query, clock);
		} catch (error) {
			const message = `queries[${index}]: ${(error as Error).message}`;
			if (!(error instanceof ToascopeError)) throw new HttpProblem(400, message);
			const { code, hint = '' } = error;
			throw new ToascopeError(code, message, { hint, cause: error });
		}
	}
}

function readFields(fields: unknown): readonly ConnectionField[] {
	if (Array.isArray(fields) && fields.every(isConnectionField) && new Set(fields).size === fields.length) return fields;
	throw new HttpProblem(400, `fields must be a list of names, each once: ${connectionFields.join(', ')}`);
}

/** @throws {HttpProblem} 400 */
export function readClientsQuery(input: unknown): { limit: number; sort: ClientSortKey } {
	const { limit, sort = 'received_bytes' } = readParameters(input, ['limit', 'sort']);
	const key = Object.hasOwn(clientSortKeys, sort) ? clientSortKeys[sort] : undefined;
	if (key === undefined) {
		throw new HttpProblem(400, `sort must be one of ${Object.keys(clientSortKeys).join(', ')}`);
	}
	return { limit: limit === undefined ? clientsDefault : readInteger('limit', limit, 1, clientsMax), sort: key };
}

/**
 * `created`: whether the response has the creation times of series; if undefined, the `Accept`
 * header decides. Other parameters are ignored, since scrapers are configured with parameters of
 * all kinds.
 * @throws {HttpProblem} 400
 */
export function readMetricsQuery(input: unknown): { created: boolean | undefined } {
	const { created } = input as { created?: unknown };
	if (created === undefined) return { created: undefined };
	if (created !== 'on' && created !== 'off') throw new HttpProblem(400, 'created must be on or off');
	return { created: created === 'on' };
}

/** @throws {HttpProblem} 400 */
export function readStatusQuery(input: unknown): { peers: boolean; fresh: boolean } {
	const { peers = 'off', fresh = 'off' } = readParameters(input, ['peers', 'fresh']);
	for (const [name, value] of Object.entries({ peers, fresh })) {
		if (value !== 'on' && value !== 'off') throw new HttpProblem(400, `${name} must be on or off`);
	}
	return { peers: peers === 'on', fresh: fresh === 'on' };
}

function readParameters<Name extends string>(input: unknown, names: readonly Name[]): { [N in Name]?: string } {
	if (typeof input !== 'object' || input === null || Array.isArray(input)) {
		throw new HttpProblem(400, `must be an object with keys of ${names.join(', ')}`);
	}
	const values: { [N in Name]?: string } = {};
	for (const [name, value] of Object.entries(input)) {
		if (!names.includes(name as Name)) {
			throw new HttpProblem(400, `unknown parameter '${name.slice(0, 40)}'; the parameters are ${names.join(', ')}`);
		}
		if (typeof value !== 'string' && typeof value !== 'number') {
			throw new HttpProblem(400, `${name} must be a single string`);
		}
		values[name as Name] = String(value);
	}
	return values;
}

function readInteger(name: string, text: string, min: number, max: number): number {
	const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
	if (value >= min && value <= max) return value;
	throw new HttpProblem(400, `${name} must be a whole number from ${min} to ${max}`);
}

function readTime(text: string): bigint {
	const unixNs = parseTime(text);
	if (unixNs !== undefined) return unixNs;
	throw new HttpProblem(400, 'at must be a time such as 2026-01-31T12:00:00Z, or seconds since 1970');
}
