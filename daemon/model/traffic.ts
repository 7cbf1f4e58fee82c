// SPDX-License-Identifier: Apache-2.0
/**
 * struct traffic as 64-bit words, so that thousands of them are added and exported without creating
 * objects.
 */

/** The index of each field's word. */
export const trafficWord = {
	opened: 0,
	closed: 1,
	receivedBytes: 2,
	sentBytes: 3,
	retransmittedSegments: 4,
	rttSumNs: 5,
	rttCount: 6,
	durationSumNs: 7,
} as const satisfies Record<keyof Traffic, number>;

/** In the order of the words. */
export const trafficFields = Object.keys(trafficWord) as readonly (keyof Traffic)[];

export const trafficWords = trafficFields.length;

export const noTraffic: Traffic = Object.freeze({
	opened: 0n,
	closed: 0n,
	receivedBytes: 0n,
	sentBytes: 0n,
	retransmittedSegments: 0n,
	rttSumNs: 0n,
	rttCount: 0n,
	durationSumNs: 0n,
});

/** Reads the words from index `at` on. */
export function readWords(words: BigUint64Array, at: number): Traffic {
	const word = (field: keyof Traffic) => words[at + trafficWord[field]] ?? 0n;
	return {
		opened: word('opened'),
		closed: word('closed'),
		receivedBytes: word('receivedBytes'),
		sentBytes: word('sentBytes'),
		retransmittedSegments: word('retransmittedSegments'),
		rttSumNs: word('rttSumNs'),
		rttCount: word('rttCount'),
		durationSumNs: word('durationSumNs'),
	};
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

/** struct traffic: every field only grows. Times in nanoseconds. */
export interface Traffic {
	readonly opened: bigint;
	readonly closed: bigint;
	readonly receivedBytes: bigint;
	readonly sentBytes: bigint;
	readonly retransmittedSegments: bigint;
	readonly rttSumNs: bigint;
	readonly rttCount: bigint;
	/** Sum over the closed connections; their number is `closed`. */
	readonly durationSumNs: bigint;
}
