// SPDX-License-Identifier: Apache-2.0
/** Thresholds, as the OpenTelemetry specification of probability sampling has them. */
import { describe, expect, it } from 'vitest';
import {
	formatThreshold,
	ratioOf,
	sampleAll,
	sampleNone,
	thresholdOf,
	traceRandomness,
} from '../../../daemon/model/sampling.ts';

describe('a threshold', () => {
	// the examples of "TraceState: Probability Sampling"
	it.each([
		[1, '0'],
		[0.5, '8'],
		[0.25, 'c'],
		[0.125, 'e'],
		[0.1, 'e6666666666666'],
		[0.01, 'fd70a3d70a3d71'],
	])('of the ratio %f is %s', (ratio, text) => {
		expect(formatThreshold(thresholdOf(ratio))).toBe(text);
		expect(ratioOf(thresholdOf(ratio))).toBeCloseTo(ratio, 15);
	});

	it('samples all, or none', () => {
		expect(thresholdOf(1)).toBe(sampleAll);
		expect(thresholdOf(0)).toBe(sampleNone);
		expect(ratioOf(sampleNone)).toBe(0);
	});

	it('has its leading zeros, and not its trailing ones', () => {
		expect(formatThreshold(1n << 40n)).toBe('0001');
		expect(formatThreshold(1n)).toBe('00000000000001');
	});
});

describe('the randomness of trace ids', () => {
	it('has 56 bits, and is spread evenly whatever cookies and times have in common', () => {
		const sixteenths = Array.from({ length: 16 }, () => 0);
		const count = 40_000;
		for (let i = 0; i < count; i++) {
			const randomness = traceRandomness({ cookie: BigInt(i + 1), openedNs: 1_000_000_000_000n + BigInt(i) * 20_000n });
			expect(randomness < sampleNone).toBe(true);
			const at = Number(randomness >> 52n);
			sixteenths[at] = (sixteenths[at] ?? 0) + 1;
		}
		// six standard deviations of a binomial distribution
		const deviation = Math.sqrt((count / 16) * (15 / 16));
		for (const found of sixteenths) expect(Math.abs(found - count / 16)).toBeLessThan(6 * deviation);
	});

	it('is all 64-bit arithmetic modulo 2^64', () => {
		const largest = 2n ** 64n - 1n;
		expect(traceRandomness({ cookie: largest, openedNs: largest })).toBeLessThan(sampleNone);
	});
});
