// SPDX-License-Identifier: Apache-2.0
/** Checks that the memory and the descriptors of a long-running process do not grow. */
import { readdirSync } from 'node:fs';
import { residentBytes } from '../../bench/memory_use.ts';
import { median } from '../../bench/statistics.ts';
import type { Checks } from './checks.ts';

interface Sample {
	readonly atMs: number;
	readonly bytes: number;
	readonly descriptors: number;
}

/**
 * The first part is ignored, since the engine compiles and its heap grows to its size meanwhile.
 */
const warmUpShare = 0.2;
/**
 * A process that ran for less than this gets the wide tolerance, since its heap has not reached its
 * size.
 */
const longMs = 5 * 60_000;
const tolerances = { long: { share: 0.15, bytes: 10e6 }, short: { share: 0.5, bytes: 40e6 } } as const;
/** Tolerance for descriptors, since the connections of scrapes come and go. */
const moreDescriptors = 8;
const least = 6;

const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

export class Flatness {
	readonly #samples: Sample[] = [];
	readonly #pid: number;

	constructor(pid: number) {
		this.#pid = pid;
	}

	sample(): void {
		const descriptors = readdirSync(`/proc/${this.#pid}/fd`).length;
		this.#samples.push({ atMs: performance.now(), bytes: residentBytes(this.#pid), descriptors });
	}

	/** Compares the last third of the time after the warm-up with the first. */
	check(name: string, checks: Checks): void {
		const begin = this.#samples[0]?.atMs ?? 0;
		const ranMs = (this.#samples.at(-1)?.atMs ?? 0) - begin;
		const from = begin + ranMs * warmUpShare;
		const third = (ranMs * (1 - warmUpShare)) / 3;
		const first = this.#samples.filter(({ atMs }) => atMs >= from && atMs < from + third);
		const last = this.#samples.filter(({ atMs }) => atMs >= from + 2 * third);
		if (first.length === 0 || last.length === 0 || this.#samples.length < least) {
			checks.add(`${name}: memory and descriptors`, false, `${this.#samples.length} samples are too few`);
			return;
		}
		const [before, after] = [first, last].map((some) => median(some.map(({ bytes }) => bytes))) as [number, number];
		const { share, bytes } = tolerances[ranMs >= longMs ? 'long' : 'short'];
		const atMost = before * (1 + share) + bytes;
		checks.add(
			`${name}: memory is flat`,
			after <= atMost,
			`${mb(before)} in the first third, ${mb(after)} in the last, at most ${mb(atMost)}, over ${(ranMs / 1000).toFixed(0)} s`,
		);
		const [few, many] = [first, last].map((some) => Math.max(...some.map((one) => one.descriptors))) as [
			number,
			number,
		];
		checks.add(
			`${name}: descriptors are flat`,
			many <= few + moreDescriptors,
			`at most ${few} in the first third, ${many} in the last`,
		);
	}
}
