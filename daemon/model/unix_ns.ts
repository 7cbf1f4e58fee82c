// SPDX-License-Identifier: Apache-2.0
/** The wall clock in the unit of the counters. */

/** Unix nanoseconds. */
export function unixNs(): bigint {
	return BigInt(Date.now()) * 1_000_000n;
}
