// SPDX-License-Identifier: Apache-2.0
/** Pseudorandom numbers: the same seed yields the same sequence. */

/** Returns an integer from 0 (inclusive) to `below` (exclusive); `below` is at least 1. */
export type Pick = (below: number) => number;

/** The mulberry32 generator. */
export function random(seed: number): Pick {
	let state = seed;
	return (below) => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
	};
}
