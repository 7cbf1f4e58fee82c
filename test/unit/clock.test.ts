// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { SystemClock } from '../../daemon/service/clock.ts';

const ms = 1_000_000n;
const epochNs = 1_760_000_000_000n * ms;

/** A host whose clocks tell `at`; each reading of the monotonic one takes `readingNs`. */
function host() {
	const state = { at: 5_000n * ms, readingNs: 0n, setNs: 0n };
	const clock = new SystemClock({
		monotonicNs: () => {
			state.at += state.readingNs;
			return state.at;
		},
		wallNs: () => ((epochNs + state.at + state.setNs) / ms) * ms,
		fineWallNs: () => ((epochNs + state.at) / 1000n) * 1000n,
	});
	return { state, clock };
}

it('tells the wall clock to the microsecond, and back to the nanosecond', () => {
	const { state, clock } = host();
	expect(clock.toUnixNs(state.at + 123_456n)).toBe(epochNs + state.at + 123_456n);
	expect(clock.toMonotonicNs(clock.toUnixNs(77n))).toBe(77n);
});

it('converts alike while nobody sets the clock, however long a reading takes', () => {
	const { state, clock } = host();
	const before = clock.toUnixNs(0n);
	for (const readingNs of [0n, 999_999n, 30n * ms, 400n * ms]) {
		state.readingNs = readingNs;
		clock.adjust();
		expect(clock.toUnixNs(0n), `${readingNs}`).toBe(before);
	}
});

it('follows a clock that is set, also by a little more than readings differ', () => {
	const { state, clock } = host();
	const before = clock.toUnixNs(0n);
	for (const setNs of [12n * ms, -3_600_000n * ms]) {
		state.setNs = setNs;
		clock.adjust();
		expect(clock.toUnixNs(0n) - before).toBe(setNs);
	}
});
