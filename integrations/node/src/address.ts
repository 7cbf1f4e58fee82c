// SPDX-License-Identifier: Apache-2.0
/** Text of addresses, as the daemon writes them. */

/** The longest run of two or more groups that are 0, the first of equal ones (RFC 5952, section 4.2). */
function zeroRun(groups: readonly number[]): { start: number; length: number } {
	let best = { start: 0, length: 0 };
	let length = 0;
	for (const [index, group] of groups.entries()) {
		length = group === 0 ? length + 1 : 0;
		if (length >= 2 && length > best.length) best = { start: index + 1 - length, length };
	}
	return best;
}

/** Whether 16 bytes are an IPv4-mapped address (RFC 4291, section 2.5.5.2). */
export function isMapped(bytes: Uint8Array): boolean {
	return bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
}

/** `192.0.2.1`, from four bytes. */
export function formatIPv4(bytes: Uint8Array): string {
	return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
}

/** RFC 5952 text of 16 bytes, such as `2001:db8::1`. */
export function formatIPv6(bytes: Uint8Array): string {
	const groups = Array.from({ length: 8 }, (_, index) => ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0));
	const { start, length } = zeroRun(groups);
	const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
	if (length === 0) return text(groups);
	return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}
