// SPDX-License-Identifier: Apache-2.0
/** A batch of lookups that take their time: the event loop has others to serve meanwhile. */
import pino from 'pino';
import { expect, it } from 'vitest';
import { createHttp } from '../../daemon/http/app.ts';
import type { LookupQuery } from '../../daemon/model/lookup.ts';
import { fixtureExporter, fixtureView } from '../fixtures/view.ts';

/** What a lookup takes in a table of a few million connections. */
const lookupMs = 2;

it('gives the event loop back between its lookups', async () => {
	const view = fixtureView();
	/** Turns of the event loop while it was answered. */
	let turns = 0;
	let next: NodeJS.Immediate | undefined;
	const count = () => {
		turns++;
		next = setImmediate(count);
	};
	const lookup = (query: LookupQuery) => {
		next ??= setImmediate(count);
		const until = performance.now() + lookupMs;
		while (performance.now() < until);
		return view.lookup(query);
	};
	const metrics = fixtureExporter(view.snapshot);
	const app = createHttp({ view: { ...view, lookup }, metrics, logger: pino({ level: 'silent' }) });
	const queries = Array.from({ length: 100 }, (_, i) => ({ peer: i % 2 === 0 ? '10.0.0.1:4711' : '10.0.0.9:1' }));
	const response = await app.inject({ method: 'POST', url: '/v1/connections', payload: { queries } });
	clearImmediate(next);
	await app.close();
	expect(turns).toBeGreaterThan(10);
	// and in their order
	const known = response.json().results.map(({ connections }: { connections: unknown[] }) => connections.length);
	expect(known).toEqual(queries.map((_, i) => (i % 2 === 0 ? 2 : 0)));
});
