// SPDX-License-Identifier: Apache-2.0
/** CLOCK_MONOTONIC, in which the kernel's records tell time, against the wall clock. */
import { native } from '../capture/native.ts';
import type { Clock } from '../http/ports.ts';

/** Below this the difference is the measurement's own; above it somebody has set the wall clock. */
const toleranceNs = 10_000_000n;

function wallNs(): bigint {
	return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
}

/** Converts alike from call to call, until the wall clock is set or drifts by 10 ms. */
export class SystemClock implements Clock {
	#offset = this.#measure();

	#measure(): bigint {
		return BigInt(Date.now()) * 1_000_000n - native().monotonicNs();
	}

	/** Follows the wall clock; call it now and then. */
	adjust(): void {
		const offset = this.#measure();
		const moved = offset - this.#offset;
		if (moved > toleranceNs || moved < -toleranceNs) this.#offset = offset;
	}

	constructor() {
		// the origin has microseconds, Date.now() milliseconds; both tell the same time at a start
		const fine = wallNs() - native().monotonicNs();
		const apart = fine - this.#offset;
		if (apart < toleranceNs && apart > -toleranceNs) this.#offset = fine;
	}

	toUnixNs(monotonicNs: bigint): bigint {
		return monotonicNs + this.#offset;
	}

	toMonotonicNs(unixNs: bigint): bigint {
		return unixNs - this.#offset;
	}
}
