// SPDX-License-Identifier: Apache-2.0
/** Pieces of answers that are used again: where they come from, and what an exporter writes into. */
import { describe, expect, it } from 'vitest';
import { PiecePool } from '../../daemon/export/prometheus/piece_pool.ts';
import { crowds, isAnswer, piecesOf } from '../fixtures/crowds.ts';
import { fixtureExporter } from '../fixtures/view.ts';

describe('a pool', () => {
	it('gives again what was given back, and nothing that is out', () => {
		const pool = new PiecePool();
		const [first, second] = [pool.take(), pool.take()];
		expect(second.buffer).not.toBe(first.buffer);
		pool.giveBack(first.subarray(10, 20));
		const third = pool.take();
		expect(third.buffer).toBe(first.buffer);
		expect(third.length).toBe(first.length);
		expect([first.buffer, second.buffer]).not.toContain(pool.take().buffer);
	});

	it('takes a piece back once, and nothing else', () => {
		const pool = new PiecePool();
		const [piece, foreign] = [pool.take(), Buffer.alloc(256 * 1024)];
		for (const one of [piece, piece, foreign]) pool.giveBack(one);
		const taken = [pool.take(), pool.take(), pool.take()].map(({ buffer }) => buffer);
		expect(new Set(taken).size).toBe(3);
		expect(taken).toContain(piece.buffer);
		expect(taken).not.toContain(foreign.buffer);
	});

	it('keeps only so much', () => {
		const pool = new PiecePool();
		const pieces = Array.from({ length: 100 }, () => pool.take());
		for (const piece of pieces) pool.giveBack(piece);
		const known = new Set(pieces.map(({ buffer }) => buffer));
		const again = Array.from({ length: 100 }, () => pool.take().buffer);
		expect(again.filter((buffer) => known.has(buffer))).toHaveLength(8);
	});
});

describe('an exporter', () => {
	it('writes into pieces that were given back, and into no other', async () => {
		let shown = 0;
		const exporter = fixtureExporter(() => crowds[shown]);
		const kept = await piecesOf(exporter, 'prometheus');
		shown = 1;
		const given = await piecesOf(exporter, 'prometheus');
		expect(isAnswer(Buffer.concat(given), 1)).toBe(true);
		for (const piece of given) exporter.giveBack(piece);
		shown = 2;
		const last = await piecesOf(exporter, 'openmetrics');
		expect(isAnswer(Buffer.concat(last), 2, 'openmetrics')).toBe(true);
		expect(isAnswer(Buffer.concat(kept), 0)).toBe(true);
		expect(isAnswer(Buffer.concat(given), 1)).toBe(false);
	});
});
