// SPDX-License-Identifier: Apache-2.0
/** Arithmetic on struct traffic. */
import type { Traffic } from './snapshot.ts';

/** In the order of TrafficSum's words. */
export const trafficFields = [
	'opened',
	'closed',
	'receivedBytes',
	'sentBytes',
	'retransmittedSegments',
	'rttSumNs',
	'rttCount',
	'durationSumNs',
] as const satisfies readonly (keyof Traffic)[];

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

/** A sum of many, which only grows. In words: to add thousands of clients up makes no garbage. */
export class TrafficSum {
	readonly words = new BigUint64Array(trafficFields.length);

	clear(): void {
		this.words.fill(0n);
	}

	add(traffic: Traffic): void {
		for (const [word, field] of trafficFields.entries()) this.words[word] = (this.words[word] ?? 0n) + traffic[field];
	}

	total(): Traffic {
		const [
			opened = 0n,
			closed = 0n,
			receivedBytes = 0n,
			sentBytes = 0n,
			retransmittedSegments = 0n,
			rttSumNs = 0n,
			rttCount = 0n,
			durationSumNs = 0n,
		] = this.words;
		return {
			opened,
			closed,
			receivedBytes,
			sentBytes,
			retransmittedSegments,
			rttSumNs,
			rttCount,
			durationSumNs,
		};
	}
}

export function subtract(from: Traffic, base: Traffic): Traffic {
	// of most series: nothing came before them
	if (base === noTraffic) return from;
	return {
		opened: from.opened - base.opened,
		closed: from.closed - base.closed,
		receivedBytes: from.receivedBytes - base.receivedBytes,
		sentBytes: from.sentBytes - base.sentBytes,
		retransmittedSegments: from.retransmittedSegments - base.retransmittedSegments,
		rttSumNs: from.rttSumNs - base.rttSumNs,
		rttCount: from.rttCount - base.rttCount,
		durationSumNs: from.durationSumNs - base.durationSumNs,
	};
}
