// SPDX-License-Identifier: Apache-2.0
/** `/v1/clients` of many clients: the same rows as sorting all, without blocking the event loop. */
import pino from 'pino';
import { afterEach, expect, it } from 'vitest';
import type { ClientJson } from '../../../daemon/api/client.ts';
import { createHttp } from '../../../daemon/http/app.ts';
import type { ClientSeries } from '../../../daemon/model/series.ts';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { noTraffic } from '../../../daemon/model/traffic.ts';
import { snapshot, tableOf } from '../../kit/model/snapshot.ts';
import { fixtureExporter, fixtureView } from '../../kit/model/view.ts';
import { random } from '../../kit/random.ts';

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
	for (const one of cleanUp.splice(0)) await one();
});

const client = (row: number, receivedBytes: bigint, opened = 0n, closed = 0n, active = 0): ClientSeries => ({
	client: `c${row}`,
	listener: '192.0.2.10:443',
	sinceNs: 1n,
	traffic: { ...noTraffic, receivedBytes, opened, closed },
	active,
});

/** Serves these clients, and returns a function that queries them. */
function serve(all: readonly ClientSeries[]): (query: string) => Promise<{ total: number; clients: ClientJson[] }> {
	const manyClients: Snapshot = { ...snapshot, clients: tableOf(all) };
	const view = { ...fixtureView(), snapshot: () => manyClients };
	const app = createHttp({ view, metrics: fixtureExporter(view.snapshot), logger: pino({ level: 'silent' }) });
	cleanUp.push(() => app.close());
	return async (query) => {
		const response = await app.inject(`/v1/clients?${query}`);
		expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
		return response.json();
	};
}

it.each([1, 2, 3, 7, 100, 299, 300, 301])('returns the %i greatest of 300, equal ones in order', async (limit) => {
	const next = random(limit);
	const large = 2n ** 53n;
	// few values, so that many are equal, and some that no double can represent
	const all = Array.from({ length: 300 }, (_, row) => {
		const [bytes, opened, closed, active] = [BigInt(next(20)), BigInt(next(3)), BigInt(next(3)), next(3)];
		const more = next(4) === 0 ? large : 0n;
		return client(row, bytes + more, 3n + opened + more, closed + more, active);
	});
	const ask = serve(all);
	for (const [key, value] of [
		['received_bytes', ({ traffic }: ClientSeries) => traffic.receivedBytes],
		['connections_opened', ({ traffic }: ClientSeries) => traffic.opened],
		['connections_active', ({ active }: ClientSeries) => BigInt(active)],
	] as const) {
		const sorted = all.toSorted((a, b) => Number(value(b) - value(a)));
		const { total, clients } = await ask(`limit=${limit}&sort=${key}`);
		expect(total).toBe(300);
		expect(clients.map((one) => one.client)).toEqual(sorted.slice(0, limit).map((one) => one.client));
	}
});

it('yields to the event loop while it sorts 100,000', async () => {
	// each is greater than all before: the most work
	const ask = serve(Array.from({ length: 100_000 }, (_, row) => client(row, BigInt(row))));
	await ask('limit=1');
	let iterations = 0;
	let next = setImmediate(function count() {
		iterations++;
		next = setImmediate(count);
	});
	const { clients } = await ask('limit=10000');
	clearImmediate(next);
	expect([clients[0]?.client, clients.at(-1)?.client]).toEqual(['c99999', 'c90000']);
	expect(iterations).toBeGreaterThan(5);
});
