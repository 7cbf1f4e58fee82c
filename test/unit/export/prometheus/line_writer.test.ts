// SPDX-License-Identifier: Apache-2.0
/** Lines written as bytes are equal to the same lines as text. */
import { describe, expect, it } from 'vitest';
import { ChunkPool } from '../../../../daemon/export/prometheus/chunk_pool.ts';
import { LineWriter } from '../../../../daemon/export/prometheus/line_writer.ts';
import { formatInteger, formatSeconds } from '../../../../daemon/export/prometheus/text.ts';

/** 0, 1, and around each power of two and of ten up to 2^64. */
const values = (): bigint[] => {
	const around = (power: bigint) => [power - 1n, power, power + 1n];
	const twos = Array.from({ length: 64 }, (_, exponent) => 2n ** BigInt(exponent));
	const tens = Array.from({ length: 20 }, (_, exponent) => 10n ** BigInt(exponent));
	return [...twos, ...tens, ...tens.map((ten) => 7n * ten), ...tens.map((ten) => ten / 9n)].flatMap(around);
};

const asTable = (value: bigint) => (value < 2n ** 53n ? Number(value) : value);

function written(write: (out: LineWriter) => void, size = 1000): string {
	const out = new LineWriter(new ChunkPool(size));
	write(out);
	return String(out.take());
}

describe('numbers', () => {
	it('integers, as text.ts formats them', () => {
		for (const value of values()) {
			if (value >= 0n) expect(written((out) => out.integer(asTable(value)))).toBe(formatInteger(value));
		}
	});

	it('integers below zero', () => {
		expect(written((out) => out.integer(-1))).toBe('-1');
		expect(written((out) => out.integer(-9_007_199_254_740_993n))).toBe('-9007199254740993');
	});

	it('nanoseconds as seconds, as text.ts formats them', () => {
		for (const value of values()) {
			if (value >= 0n) expect(written((out) => out.seconds(asTable(value)))).toBe(formatSeconds(value));
		}
	});
});

describe('what was written', () => {
	const lines = (out: LineWriter) => {
		for (let line = 0; line < 100; line++) {
			out.bytes(Buffer.from(`name{label="${line}"} `));
			out.integer(line);
			out.endLine();
		}
	};
	const text = Array.from({ length: 100 }, (_, line) => `name{label="${line}"} ${line}\n`).join('');

	it.each([1, 17, 100_000])('is complete, whatever the size of the chunks (%i bytes)', (size) => {
		expect(written(lines, size)).toBe(text);
	});

	it('does not change after take(): later lines go elsewhere', () => {
		const out = new LineWriter(new ChunkPool(100));
		out.integer(1);
		expect(out.length).toBe(1);
		const first = out.take();
		expect(out.length).toBe(0);
		out.integer(2);
		expect([first, out.take()].map(String)).toEqual(['1', '2']);
	});
});
