// SPDX-License-Identifier: Apache-2.0
/** A batch of slow lookups lets the event loop serve other work in between. */
import pino from 'pino';
import { expect, it } from 'vitest';
import { createHttp } from '../../../daemon/http/app.ts';
import type { LookupQuery } from '../../../daemon/model/lookup.ts';
import { fixtureExporter, fixtureView } from '../../kit/model/view.ts';

/** The duration of a lookup in a table of a few million connections. */
const lookupMs = 2;

it('yields to the event loop between its lookups', async () => {
	const view = fixtureView();
	/** Iterations of the event loop while the batch was answered. */
	let iterations = 0;
	let next: NodeJS.Immediate | undefined;
	const count = () => {
		iterations++;
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
	expect(iterations).toBeGreaterThan(10);
	// and the results are in the order of the queries
	const known = response.json().results.map(({ connections }: { connections: unknown[] }) => connections.length);
	expect(known).toEqual(queries.map((_, i) => (i % 2 === 0 ? 2 : 0)));
});
