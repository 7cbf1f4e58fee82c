// SPDX-License-Identifier: Apache-2.0
/** CLOCK_MONOTONIC, in which the kernel's records tell time, against the wall clock. */
import { native } from '../capture/native.ts';
import type { Clock } from '../http/ports.ts';

/** Below this the difference is the measurement's own; above it somebody has set the wall clock. */
const toleranceNs = 10_000_000n;

/** Readings, in nanoseconds. */
export interface Clocks {
	readonly monotonicNs: () => bigint;
	/** To the millisecond. */
	readonly wallNs: () => bigint;
	/** To the microsecond, but of a clock that nobody sets: right at a start. */
	readonly fineWallNs: () => bigint;
}

const system: Clocks = {
	monotonicNs: () => native().monotonicNs(),
	wallNs: () => BigInt(Date.now()) * 1_000_000n,
	fineWallNs: () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n,
};

interface Measured {
	readonly offset: bigint;
	/** It is no farther from the truth: somebody else may have had the processor between two readings. */
	readonly within: bigint;
}

const apart = (a: bigint, b: bigint) => (a > b ? a - b : b - a);

/** Converts alike from call to call, until the wall clock is set or drifts by 10 ms. */
export class SystemClock implements Clock {
	readonly #clocks: Clocks;
	#offset: bigint;

	constructor(clocks = system) {
		this.#clocks = clocks;
		this.#offset = this.#measure(clocks.wallNs).offset;
		const fine = this.#measure(clocks.fineWallNs);
		if (apart(fine.offset, this.#offset) < toleranceNs) this.#offset = fine.offset;
	}

	#measure(wallNs: () => bigint): Measured {
		const { monotonicNs } = this.#clocks;
		const before = monotonicNs();
		const wall = wallNs();
		const within = (monotonicNs() - before) / 2n;
		return { offset: wall - before - within, within };
	}

	/** Follows the wall clock; call it now and then. */
	adjust(): void {
		const { offset, within } = this.#measure(this.#clocks.wallNs);
		if (apart(offset, this.#offset) > toleranceNs + within) this.#offset = offset;
	}

	toUnixNs(monotonicNs: bigint): bigint {
		return monotonicNs + this.#offset;
	}

	toMonotonicNs(unixNs: bigint): bigint {
		return unixNs - this.#offset;
	}
}
