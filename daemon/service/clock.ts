// SPDX-License-Identifier: Apache-2.0
/**
 * CLOCK_MONOTONIC, in which the kernel's records tell time, against the wall clock. The wall clock jumps (it is set; the host was
 * suspended, and CLOCK_MONOTONIC stood still; a guest was moved): a time is converted with the difference that held when it was.
 */
import { native } from '../capture/native.ts';
import type { Clock } from '../http/ports.ts';

/** Below this the difference is the measurement's own; above it somebody has set the wall clock. */
const toleranceNs = 10_000_000n;
/** Jumps that are remembered: who sets the clock once a minute has hours. */
const maxStretches = 256;

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
	readonly monotonicNs: bigint;
	readonly offset: bigint;
	/** It is no farther from the truth: somebody else may have had the processor between two readings. */
	readonly within: bigint;
}

/** Between two jumps. Slewing moves both clocks alike, so the difference is the same all the time. */
interface Stretch {
	/** CLOCK_MONOTONIC. The first one also holds for all that was before it. */
	readonly sinceNs: bigint;
	/** Wall clock less CLOCK_MONOTONIC. */
	readonly offset: bigint;
}

const apart = (a: bigint, b: bigint) => (a > b ? a - b : b - a);

export class SystemClock implements Clock {
	readonly #clocks: Clocks;
	/** The oldest first, never empty. */
	readonly #stretches: Stretch[];

	constructor(clocks = system) {
		this.#clocks = clocks;
		const { offset, monotonicNs } = this.#measure(clocks.wallNs);
		const fine = this.#measure(clocks.fineWallNs);
		const exact = apart(fine.offset, offset) < toleranceNs ? fine.offset : offset;
		this.#stretches = [{ sinceNs: monotonicNs, offset: exact }];
	}

	#measure(wallNs: () => bigint): Measured {
		const { monotonicNs } = this.#clocks;
		const before = monotonicNs();
		const wall = wallNs();
		const within = (monotonicNs() - before) / 2n;
		return { monotonicNs: before, offset: wall - before - within, within };
	}

	/** Looks whether the wall clock has jumped: what happens between a jump and the next call is told with the difference of before. */
	adjust(): void {
		const { monotonicNs, offset, within } = this.#measure(this.#clocks.wallNs);
		if (apart(offset, this.#latest.offset) <= toleranceNs + within) return;
		this.#stretches.push({ sinceNs: monotonicNs, offset });
		if (this.#stretches.length > maxStretches) this.#stretches.shift();
	}

	get #latest(): Stretch {
		return this.#stretches.at(-1) as Stretch;
	}

	toUnixNs(monotonicNs: bigint): bigint {
		let at = this.#stretches.length - 1;
		while (at > 0 && monotonicNs < (this.#stretches[at] as Stretch).sinceNs) at--;
		return monotonicNs + (this.#stretches[at] as Stretch).offset;
	}

	toMonotonicNs(unixNs: bigint): readonly bigint[] {
		const found: bigint[] = [];
		for (let at = this.#stretches.length - 1; at >= 0; at--) {
			const { sinceNs, offset } = this.#stretches[at] as Stretch;
			const next = this.#stretches[at + 1];
			const monotonicNs = unixNs - offset;
			const begun = at === 0 || monotonicNs >= sinceNs;
			if (begun && (next === undefined || monotonicNs < next.sinceNs)) found.push(monotonicNs);
			// never shown: the jump at the end of this stretch went over it
			else if (begun && next !== undefined && unixNs < next.sinceNs + next.offset) found.push(next.sinceNs);
		}
		return found;
	}
}
