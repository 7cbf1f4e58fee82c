// SPDX-License-Identifier: Apache-2.0
/** When the daemon's tasks are due, and what follows from that: each interval and bound is stated here once. In milliseconds. */

/** Between two collections: what a scrape shows is so old at most, while they are quick. */
export const collectMs = 1000;
/** The kernel is asked so often whether all that was attached still is. */
export const attachmentsMs = 1000;
/** Open connections are in the counters after two flushes: within 15 s (bpf/sweep.bpf.c). */
export const flushMs = 5000;
/** The kernel wakes nobody for a record of the ring: it is drained so often. */
export const drainMs = 50;
/** Records that are not drained are lost: draining has four fifths of the time. */
export const drainPauseFactor = 0.25;
/** What may come less often when it is slow: it has a twentieth of the processor time. */
export const usualPauseFactor = 20;
/** However slow a task is: its next run begins so long after the last one ended, or at its interval. */
export const longestPauseMs = 5000;
/** A snapshot that is older is stale: three collections in a row failed or took too long, at their slowest cadence. */
export const staleMs = 3 * longestPauseMs;
/** A jump of the wall clock is noticed so soon after it. */
export const clockMs = 100;
/** A search through the connections takes a tenth of a second: not for everyone who asks. */
export const peersMs = 2000;
