// SPDX-License-Identifier: Apache-2.0
/** Text of addresses, as the daemon writes them. Loops, since each new connection waits for it. */

/** Whether 16 bytes are an IPv4-mapped address (RFC 4291, section 2.5.5.2). */
export function isMapped(bytes: Uint8Array): boolean {
	for (let index = 0; index < 10; index++) if (bytes[index] !== 0) return false;
	return bytes[10] === 0xff && bytes[11] === 0xff;
}

/** `192.0.2.1`, from the four bytes at `start`. */
export function formatIPv4(bytes: Uint8Array, start: number): string {
	return `${bytes[start]}.${bytes[start + 1]}.${bytes[start + 2]}.${bytes[start + 3]}`;
}

/** Group `index` of an IPv6 address. */
function groupAt(bytes: Uint8Array, index: number): number {
	return ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0);
}

/**
 * RFC 5952 text of 16 bytes, such as `2001:db8::1`: the longest run of two or more groups that are
 * 0, the first of equal ones, is `::` (section 4.2).
 */
export function formatIPv6(bytes: Uint8Array): string {
	let start = -1;
	let length = 1;
	for (let end = 1, run = 0; end <= 8; end++) {
		run = groupAt(bytes, end - 1) === 0 ? run + 1 : 0;
		if (run > length) [start, length] = [end - run, run];
	}
	let text = '';
	for (let index = 0; index < 8; index++) {
		if (index === start) {
			text += '::';
			index += length - 1;
			continue;
		}
		if (index > 0 && index !== start + length) text += ':';
		text += groupAt(bytes, index).toString(16);
	}
	return text;
}
