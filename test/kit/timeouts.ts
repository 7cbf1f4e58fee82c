// SPDX-License-Identifier: Apache-2.0
/** Timeouts for machines that are slower than most, such as a guest with emulated processors. */

const factor = Number(process.env.TOA_TEST_TIMEOUT_FACTOR ?? 1);
if (!(factor >= 1))
	throw new Error(`TOA_TEST_TIMEOUT_FACTOR must be a number of at least 1, not ${process.env.TOA_TEST_TIMEOUT_FACTOR}`);

/** Multiplies a timeout (milliseconds) by the environment variable TOA_TEST_TIMEOUT_FACTOR. */
export function scaleTimeout(ms: number): number {
	return ms * factor;
}
