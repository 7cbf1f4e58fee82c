// SPDX-License-Identifier: Apache-2.0
/** An exported series: whose it is, and what it shows. */
import type { Traffic } from './traffic.ts';

/** The identity of an exported series: a pair of client and listener. */
export interface Series {
	/** RFC 5952 text, `ADDR/LEN` for a shorter prefix, `direct` or `other`. */
	readonly client: string;
	/** `ADDR:PORT`, or `other`. */
	readonly listener: string;
	/** When the series began (Unix nanoseconds); the OTLP start time. */
	readonly sinceNs: bigint;
	/**
	 * It counts from before `sinceNs`: a daemon of an earlier version began it without recording
	 * when.
	 */
	readonly sinceUnknown?: boolean;
}

export interface ClientSeries extends Series {
	readonly traffic: Traffic;
	/** Connections that are open now. */
	readonly active: number;
}
