// SPDX-License-Identifier: Apache-2.0
/** A TCP segment as native/lab/segments.c reads and prints it. */

export interface Endpoints {
	readonly from: string;
	readonly fromPort: number;
	readonly to: string;
	readonly toPort: number;
}

/** A segment that the kernel sent. Sequence numbers are absolute, modulo 2^32. */
export interface Segment extends Endpoints {
	/** Letters of FSRPAU, in this order. */
	readonly flags: string;
	readonly seq: number;
	readonly ack: number;
	/** Hex. */
	readonly options: string;
	/** Bytes of data. */
	readonly length: number;
}

/** The content of a segment that a test sends. */
export interface Content {
	readonly flags: string;
	readonly seq: number;
	readonly ack: number;
	/** Hex, any number of bytes up to 40. */
	readonly options?: string | undefined;
	readonly data?: string | undefined;
}

const wordDigits = 8;

/**
 * Pads an option list to whole 32-bit words, as on the wire. The NOPs go in front, where they move
 * the list without changing its meaning. Behind the list, a padding byte could become part of an
 * option whose length goes past the end.
 */
function padOptions(hex: string): string {
	return '01'.repeat(((wordDigits - (hex.length % wordDigits)) % wordDigits) / 2) + hex;
}

/** The line that native/lab/segments.c reads. */
export function formatSegment({ from, fromPort, to, toPort }: Endpoints, content: Content): string {
	const options = padOptions(content.options ?? '');
	const data = Buffer.from(content.data ?? '', 'latin1').toString('hex');
	const numbers = `${content.seq >>> 0} ${content.ack >>> 0}`;
	return `${from} ${fromPort} ${to} ${toPort} ${content.flags} ${numbers} ${options || '-'} ${data || '-'}\n`;
}
