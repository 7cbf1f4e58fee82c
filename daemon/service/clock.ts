// SPDX-License-Identifier: Apache-2.0
/**
 * Converts between CLOCK_MONOTONIC, the time of the kernel's records, and the wall clock. The wall
 * clock jumps (it is set; the host was suspended, and CLOCK_MONOTONIC stopped; a guest was moved),
 * so a time is converted with the offset that applied at that time.
 */
import { native } from '../../native/binding.ts';
import type { Clock } from '../http/view.ts';

/**
 * A smaller change of the offset is a measurement error; a greater one means that the wall clock
 * was set.
 */
const toleranceNs = 10_000_000n;
/** Jumps that are remembered: hours of them, if the clock is set once a minute. */
const maxPeriods = 256;

/** Clock readings, in nanoseconds. */
export interface Clocks {
	readonly monotonicNs: () => bigint;
	/** To the millisecond. */
	readonly wallNs: () => bigint;
	/** To the microsecond, but not adjusted when the wall clock is set: correct only at a start. */
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
	/** Bound of the error: another thread can have had the processor between two readings. */
	readonly within: bigint;
}

/** The time between two jumps. Slewing changes both clocks alike, so the offset is constant. */
interface Period {
	/** CLOCK_MONOTONIC. The first period also applies to all time before it. */
	readonly sinceNs: bigint;
	/** Wall clock less CLOCK_MONOTONIC. */
	readonly offset: bigint;
}

const distance = (a: bigint, b: bigint) => (a > b ? a - b : b - a);

export class SystemClock implements Clock {
	readonly #clocks: Clocks;
	/** The oldest first, never empty. */
	readonly #periods: Period[];

	constructor(clocks = system) {
		this.#clocks = clocks;
		const { offset, monotonicNs } = this.#measure(clocks.wallNs);
		const fine = this.#measure(clocks.fineWallNs);
		const exact = distance(fine.offset, offset) < toleranceNs ? fine.offset : offset;
		this.#periods = [{ sinceNs: monotonicNs, offset: exact }];
	}

	#measure(wallNs: () => bigint): Measured {
		const { monotonicNs } = this.#clocks;
		const before = monotonicNs();
		const wall = wallNs();
		const within = (monotonicNs() - before) / 2n;
		return { monotonicNs: before, offset: wall - before - within, within };
	}

	/**
	 * Checks whether the wall clock has jumped. Times between a jump and the next call are
	 * converted with the offset from before the jump.
	 */
	adjust(): void {
		const { monotonicNs, offset, within } = this.#measure(this.#clocks.wallNs);
		if (distance(offset, this.#latest.offset) <= toleranceNs + within) return;
		this.#periods.push({ sinceNs: monotonicNs, offset });
		if (this.#periods.length > maxPeriods) this.#periods.shift();
	}

	get #latest(): Period {
		return this.#periods.at(-1) as Period;
	}

	toUnixNs(monotonicNs: bigint): bigint {
		let at = this.#periods.length - 1;
		while (at > 0 && monotonicNs < (this.#periods[at] as Period).sinceNs) at--;
		return monotonicNs + (this.#periods[at] as Period).offset;
	}

	toMonotonicNs(unixNs: bigint): readonly bigint[] {
		const found: bigint[] = [];
		for (let at = this.#periods.length - 1; at >= 0; at--) {
			const { sinceNs, offset } = this.#periods[at] as Period;
			const next = this.#periods[at + 1];
			const monotonicNs = unixNs - offset;
			const begun = at === 0 || monotonicNs >= sinceNs;
			if (begun && (next === undefined || monotonicNs < next.sinceNs)) found.push(monotonicNs);
			// the wall clock never showed this time: the jump at the end of this period skipped it
			else if (begun && next !== undefined && unixNs < next.sinceNs + next.offset) found.push(next.sinceNs);
		}
		return found;
	}
}
