// SPDX-License-Identifier: Apache-2.0
/** Reuse of response chunks: which ones the pool returns, and which an exporter writes into. */
import { describe, expect, it } from 'vitest';
import { ChunkPool } from '../../../../daemon/export/prometheus/chunk_pool.ts';
import { chunksOf, isAnswer, largeSnapshots } from '../../../kit/model/large_scrapes.ts';
import { fixtureExporter } from '../../../kit/model/view.ts';

describe('a pool', () => {
	it('returns released chunks again, and none that is in use', () => {
		const pool = new ChunkPool();
		const [first, second] = [pool.alloc(), pool.alloc()];
		expect(second.buffer).not.toBe(first.buffer);
		pool.release(first.subarray(10, 20));
		const third = pool.alloc();
		expect(third.buffer).toBe(first.buffer);
		expect(third.length).toBe(first.length);
		expect([first.buffer, second.buffer]).not.toContain(pool.alloc().buffer);
	});

	it('accepts a released chunk once, and no other buffer', () => {
		const pool = new ChunkPool();
		const [chunk, foreign] = [pool.alloc(), Buffer.alloc(256 * 1024)];
		for (const one of [chunk, chunk, foreign]) pool.release(one);
		const allocated = [pool.alloc(), pool.alloc(), pool.alloc()].map(({ buffer }) => buffer);
		expect(new Set(allocated).size).toBe(3);
		expect(allocated).toContain(chunk.buffer);
		expect(allocated).not.toContain(foreign.buffer);
	});

	it('keeps a limited number of chunks', () => {
		const pool = new ChunkPool();
		const chunks = Array.from({ length: 100 }, () => pool.alloc());
		for (const chunk of chunks) pool.release(chunk);
		const known = new Set(chunks.map(({ buffer }) => buffer));
		const again = Array.from({ length: 100 }, () => pool.alloc().buffer);
		expect(again.filter((buffer) => known.has(buffer))).toHaveLength(8);
	});
});

describe('an exporter', () => {
	it('writes into released chunks, and into no others', async () => {
		let shown = 0;
		const exporter = fixtureExporter(() => largeSnapshots[shown]);
		const kept = await chunksOf(exporter, 'prometheus');
		shown = 1;
		const released = await chunksOf(exporter, 'prometheus');
		expect(isAnswer(Buffer.concat(released), 1)).toBe(true);
		for (const chunk of released) exporter.release(chunk);
		shown = 2;
		const last = await chunksOf(exporter, 'openmetrics');
		expect(isAnswer(Buffer.concat(last), 2, 'openmetrics')).toBe(true);
		expect(isAnswer(Buffer.concat(kept), 0)).toBe(true);
		expect(isAnswer(Buffer.concat(released), 1)).toBe(false);
	});
});
