// SPDX-License-Identifier: Apache-2.0
/** Trace and span ids that are derived from a connection. */
import { expect, it } from 'vitest';
import { TraceIdSource } from '../../../daemon/model/trace_ids.ts';

const connection = { netns: 4_026_531_840, cookie: 77n, openedNs: 1_000_000_000_001n };
const boot = '3f0d3c1e-0000-4000-8000-000000000000';

it('are the same for every reader of the same counters', () => {
	const ids = new TraceIdSource(42n, boot).of(connection);
	expect(ids).toEqual(new TraceIdSource(42n, boot).of({ ...connection }));
	expect(ids.traceId).toMatch(/^[0-9a-f]{32}$/);
	expect(ids.spanId).toMatch(/^[0-9a-f]{16}$/);
});

it('differ by each part of the identity, by boot and by key', () => {
	const of = (change: Partial<typeof connection>, key = 42n, bootId = boot) =>
		new TraceIdSource(key, bootId).of({ ...connection, ...change }).traceId;
	const all = [
		of({}),
		of({ netns: 1 }),
		of({ cookie: 78n }),
		of({ openedNs: 2n }),
		of({}, 43n),
		of({}, 18_446_744_073_709_551_615n),
		of({}, 42n, 'another boot'),
	];
	expect(new Set(all).size).toBe(all.length);
});
