// SPDX-License-Identifier: Apache-2.0
/** Struct traffic in 64-bit words, so that thousands of them are added up and shown without making objects. */
import type { Traffic } from './snapshot.ts';

/** Which word a field is. */
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

/** The words from `at` on. */
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
