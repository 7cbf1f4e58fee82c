// SPDX-License-Identifier: Apache-2.0
/** Formats values for people. */

/** `17 B`, `3.2 kB`, `45 MB`: powers of 1000. */
export function formatBytes(bytes: bigint): string {
	const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];
	let value = Number(bytes);
	let unit = 0;
	while (value >= 999.5 && unit < units.length - 1) {
		value /= 1000;
		unit++;
	}
	return `${unit > 0 && value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}
