// SPDX-License-Identifier: Apache-2.0
/**
 * For a lookup at a time of which the daemon no longer knows the closed connections: where their
 * records go, and the query that finds them there.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { StatusJson } from '../api/status.ts';
import { type DaemonAddress, getFromDaemon } from '../client/daemon_client.ts';
import { duration } from '../config/duration.ts';
import type { Endpoint } from '../model/address.ts';
import type { Span } from './when.ts';

/** Where the connection records are documented. */
const documentation = 'docs/telemetry.md#connection-records';

const defaultGraceSeconds = 600;

/** The query of deploy/fleet, in the source tree or in the package, as seen from this file. */
const queryFiles = ['../../', '../../../'].map(
	(root) => new URL(`${root}deploy/fleet/clickhouse/query.sql`, import.meta.url),
);

export interface PastRecords {
	/** For the hint of an error. */
	readonly hint: string;
	/** A query for ClickHouse; undefined: no records are sent, or this package has no deploy/fleet. */
	readonly query: string | undefined;
}

/** Undefined: the daemon still knows all connections of that time, or does not say for how long. */
export async function pastRecords(daemon: DaemonAddress, peer: Endpoint, span: Span): Promise<PastRecords | undefined> {
	const status = await readStatus(daemon);
	const retain = String(status?.config?.values['connections.retain']);
	const retainMs = duration(0, Number.MAX_SAFE_INTEGER).safeParse(retain).data;
	if (retainMs === undefined || span.toMs >= Date.now() - retainMs) return undefined;
	const kept = `a closed connection is kept here for ${retain} (connections.retain)`;
	const records = status?.otlp?.find(({ signal }) => signal === 'logs');
	if (records !== undefined) {
		const query = filledIn(peer, span, graceSeconds(status));
		const where =
			query === undefined
				? `see ${documentation} for a query`
				: 'standard output has the query for the ClickHouse tables of deploy/fleet';
		return { hint: `${kept}, and its record goes to ${records.url}: ${where}`, query };
	}
	const by = status?.otlp_off?.logs;
	const how = by === undefined ? 'with otel.logs: on, its record is sent' : `otel.logs is on, but ${by} disables it`;
	return { hint: `${kept}; ${how}: ${documentation}`, query: undefined };
}

/** Undefined if it cannot be read: the lookup itself was answered, so its result is reported. */
async function readStatus(daemon: DaemonAddress): Promise<Partial<StatusJson> | undefined> {
	try {
		const { status, body } = await getFromDaemon(daemon, '/v1/status');
		return status === 200 ? (JSON.parse(body) as Partial<StatusJson>) : undefined;
	} catch {
		return undefined;
	}
}

/** A connection of which an open record is the latest can still be open for so long. */
function graceSeconds(status: Partial<StatusJson> | undefined): number {
	const interval = String(status?.config?.values['otel.span_interval']);
	const intervalMs = duration(0, Number.MAX_SAFE_INTEGER).safeParse(interval).data;
	return intervalMs === undefined ? defaultGraceSeconds : Math.ceil((2 * intervalMs) / 1000);
}

/** The query with its parameters replaced by their values. */
function filledIn({ text, port }: Endpoint, { fromMs, toMs }: Span, grace: number): string | undefined {
	const file = queryFiles.find((each) => existsSync(each));
	if (file === undefined) return undefined;
	const values: Readonly<Record<string, string>> = {
		peer: `'${text}'`,
		port: String(port),
		grace: String(grace),
		from: `'${sqlTime(fromMs)}'`,
		// to the end of that millisecond
		to: `'${sqlTime(toMs)}999'`,
	};
	return readFileSync(file, 'utf8')
		.replaceAll(/^--.*\n/gm, '')
		.trimStart()
		.replaceAll(/\{(\w+):\w+\}/g, (parameter, name: string) => values[name] ?? parameter);
}

/** `2026-11-24 03:12:00.000`, in UTC. */
function sqlTime(unixMs: number): string {
	return new Date(unixMs).toISOString().replace('T', ' ').replace('Z', '');
}
