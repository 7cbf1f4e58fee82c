// SPDX-License-Identifier: Apache-2.0
/**
 * struct traffic as 64-bit words, so that thousands of them are added and exported without creating
 * objects.
 */

/**
 * The fields of struct traffic, in the order of their words: every one only grows. Times are in
 * nanoseconds. `durationSumNs` is the sum over the closed connections, whose number is `closed`.
 */
export const trafficFields = [
	'opened',
	'closed',
	'receivedBytes',
	'sentBytes',
	'retransmittedSegments',
	'rttSumNs',
	'rttCount',
	'durationSumNs',
] as const;

export type TrafficField = (typeof trafficFields)[number];
export type Traffic = Readonly<Record<TrafficField, bigint>>;

/** The index of each field's word. */
export const trafficWord = Object.fromEntries(trafficFields.map((field, word) => [field, word])) as Readonly<
	Record<TrafficField, number>
>;

export const trafficWords = trafficFields.length;

/** Creates a Traffic from the value of each field. */
export function trafficOf(value: (field: TrafficField) => bigint): Traffic {
	const traffic = {} as Record<TrafficField, bigint>;
	for (const field of trafficFields) traffic[field] = value(field);
	return traffic;
}

export const noTraffic: Traffic = Object.freeze(trafficOf(() => 0n));

/** Reads the words from index `at` on. */
export function readWords(words: BigUint64Array, at: number): Traffic {
	return trafficOf((field) => words[at + trafficWord[field]] ?? 0n);
}

export function addTo(words: BigUint64Array, at: number, traffic: Traffic): void {
	trafficFields.forEach((field, word) => {
		words[at + word] = (words[at + word] ?? 0n) + traffic[field];
	});
}

export function subtractFrom(words: BigUint64Array, at: number, traffic: Traffic): void {
	trafficFields.forEach((field, word) => {
		words[at + word] = (words[at + word] ?? 0n) - traffic[field];
	});
}
