// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { SystemClock } from '../../../daemon/service/clock.ts';

const ms = 1_000_000n;
const epochNs = 1_760_000_000_000n * ms;

/**
 * A host whose clocks show `at`. Each reading of the monotonic clock takes `readingNs`; after a
 * reading of the wall clock, the host is busy for `busyNs`.
 */
function host() {
	const state = { at: 5_000n * ms, readingNs: 0n, busyNs: 0n, setNs: 0n };
	const clock = new SystemClock({
		monotonicNs: () => {
			state.at += state.readingNs;
			return state.at;
		},
		wallNs() {
			const shown = ((epochNs + state.at + state.setNs) / ms) * ms;
			state.at += state.busyNs;
			return shown;
		},
		fineWallNs: () => ((epochNs + state.at) / 1000n) * 1000n,
	});
	/** The offset at this moment: earlier times are converted with the offset of their time. */
	const offsetNow = () => clock.toUnixNs(state.at) - state.at;
	return { state, clock, offsetNow };
}

it('converts to wall-clock time to the microsecond, and back to the nanosecond', () => {
	const { state, clock } = host();
	expect(clock.toUnixNs(state.at + 123_456n)).toBe(epochNs + state.at + 123_456n);
	expect(clock.toMonotonicNs(clock.toUnixNs(77n))).toEqual([77n]);
});

it('keeps its offset while the clock is not set, however long a reading takes', () => {
	const { state, clock, offsetNow } = host();
	const before = offsetNow();
	for (const readingNs of [0n, 999_999n, 30n * ms, 400n * ms]) {
		state.readingNs = readingNs;
		clock.adjust();
		expect(offsetNow(), `${readingNs}`).toBe(before);
	}
});

it('does not mistake a pause between two readings for a clock that was set', () => {
	const { state, clock, offsetNow } = host();
	const before = offsetNow();
	state.busyNs = 300n * ms;
	clock.adjust();
	expect(offsetNow()).toBe(before);
});

it('notices a clock that was set, even by little more than readings differ', () => {
	const { state, clock } = host();
	for (const setNs of [12n * ms, -3_600_000n * ms]) {
		state.setNs = setNs;
		state.at += 1000n * ms;
		clock.adjust();
		expect(clock.toUnixNs(state.at)).toBe(epochNs + state.at + setNs);
	}
});

const minute = 60_000n * ms;

/** Two jumps, and moments before, between and after them. */
function jumped(first: bigint, second: bigint) {
	const { state, clock } = host();
	const moments: bigint[] = [state.at];
	for (const jump of [first, second]) {
		state.at += minute;
		state.setNs += jump;
		clock.adjust();
		moments.push(state.at + 1n);
	}
	return { clock, moments, offsets: [0n, first, first + second].map((setNs) => epochNs + setNs) };
}

it.each([
	['set forward', minute, 2n * minute],
	['set back', -minute, -2n * minute],
	['set forward and back', 3n * minute, -minute],
])('converts each time with the offset of that time: %s', (_, first, second) => {
	const { clock, moments, offsets } = jumped(first, second);
	for (const [index, moment] of moments.entries()) {
		const unixNs = moment + (offsets[index] ?? 0n);
		expect(clock.toUnixNs(moment)).toBe(unixNs);
		expect(clock.toMonotonicNs(unixNs)).toContain(moment);
	}
});

it('knows both moments at which a clock that was set back showed one time, the later one first', () => {
	const { clock, moments } = jumped(-30n * 1000n * ms, 0n);
	const [before = 0n] = moments;
	const shown = clock.toUnixNs(before + 40n * 1000n * ms);
	expect(clock.toMonotonicNs(shown)).toEqual([before + 70n * 1000n * ms, before + 40n * 1000n * ms]);
});

it('converts a time that the clock never showed to the moment at which it jumped over it', () => {
	const { clock, moments } = jumped(minute, 0n);
	const [before = 0n, after = 0n] = moments;
	const never = clock.toUnixNs(before) + minute + minute / 2n;
	expect(clock.toMonotonicNs(never)).toEqual([after - 1n]);
});

it('converts times before and after a suspend, during which CLOCK_MONOTONIC stops', () => {
	const { state, clock } = host();
	const before = state.at;
	const shownBefore = clock.toUnixNs(before);
	state.setNs += 8n * 60n * minute;
	state.at += 1n;
	clock.adjust();
	expect(clock.toUnixNs(before)).toBe(shownBefore);
	// to the millisecond, the resolution of the wall clock here
	expect(clock.toUnixNs(state.at) / ms).toBe((shownBefore + 8n * 60n * minute) / ms);
});

it('remembers the latest jumps of a clock that is set again and again', () => {
	const { state, clock } = host();
	for (let jump = 0; jump < 1000; jump++) {
		state.at += minute;
		state.setNs += 1000n * ms;
		clock.adjust();
	}
	// the latest 256 of 1,000 jumps
	expect(clock.toUnixNs(0n)).toBe(epochNs + 745n * 1000n * ms);
	expect(clock.toUnixNs(state.at - minute)).toBe(epochNs + state.at - minute + 999n * 1000n * ms);
	expect(clock.toUnixNs(state.at)).toBe(epochNs + state.at + 1000n * 1000n * ms);
});
