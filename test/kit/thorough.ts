// SPDX-License-Identifier: Apache-2.0
/**
 * Whether there is time for every repetition and every variant of what a test does: in a run of
 * selected tests (`npm test -- FILTER...`), and in none of all tests.
 */
export const isThorough = process.env['TEST_THOROUGH'] !== undefined;
