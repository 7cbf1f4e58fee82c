// SPDX-License-Identifier: Apache-2.0
/**
 * Consistent probability sampling (OpenTelemetry specification, "TraceState: Probability
 * Sampling"): a connection is sampled if the randomness of its trace id is at least the threshold.
 * Both have 56 bits. A span carries the threshold, from which backends know for how many connections
 * it stands.
 */

const bits = 56n;

/** The threshold that samples every connection. */
export const sampleAll = 0n;
/** The threshold that samples none: no randomness reaches it. */
export const sampleNone = 1n << bits;

/** Why a connection is sampled: every connection that meets a condition is. */
export interface Sample {
	readonly by: 'ratio' | 'condition';
	/** The threshold that was in force; with `condition`, `sampleAll`. */
	readonly threshold: bigint;
}

/** The threshold that samples this part of all connections, from 0 to 1. */
export function thresholdOf(ratio: number): bigint {
	// exact: a double has 53 bits, and the product with a power of two loses none
	return sampleNone - BigInt(Math.round(ratio * Number(sampleNone)));
}

/** The part of all connections that a threshold samples, from 0 to 1. */
export function ratioOf(threshold: bigint): number {
	return Number(sampleNone - threshold) / Number(sampleNone);
}

/**
 * As it stands in the tracestate, after `ot=th:`: hexadecimal digits without trailing zeros. Not
 * for `sampleNone`, which no span has.
 */
export function formatThreshold(threshold: bigint): string {
	return threshold.toString(16).padStart(14, '0').replace(/0+$/, '') || '0';
}

const mask = (1n << 64n) - 1n;

/** trace_randomness() of bpf/records.h. */
export function traceRandomness({ cookie, openedNs }: { readonly cookie: bigint; readonly openedNs: bigint }): bigint {
	let mixed = ((cookie * 0x9e3779b97f4a7c15n) & mask) ^ openedNs;
	mixed = ((mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
	mixed = ((mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn) & mask;
	return (mixed ^ (mixed >> 31n)) >> 8n;
}
