// SPDX-License-Identifier: Apache-2.0
/** Arithmetic on struct traffic. */
import type { Traffic } from './snapshot.ts';
import type { Sum } from './source.ts';

export function emptySum(): Sum {
	return {
		opened: 0n,
		closed: 0n,
		receivedBytes: 0n,
		sentBytes: 0n,
		retransmittedSegments: 0n,
		rttSumNs: 0n,
		rttCount: 0n,
		durationSumNs: 0n,
	};
}

export const noTraffic: Traffic = Object.freeze(emptySum());

export function addTo(sum: Sum, traffic: Traffic): void {
	sum.opened += traffic.opened;
	sum.closed += traffic.closed;
	sum.receivedBytes += traffic.receivedBytes;
	sum.sentBytes += traffic.sentBytes;
	sum.retransmittedSegments += traffic.retransmittedSegments;
	sum.rttSumNs += traffic.rttSumNs;
	sum.rttCount += traffic.rttCount;
	sum.durationSumNs += traffic.durationSumNs;
}

export function subtract(from: Traffic, base: Traffic): Traffic {
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
