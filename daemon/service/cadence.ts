// SPDX-License-Identifier: Apache-2.0
/**
 * When the daemon's tasks run, and the bounds that follow from it: each interval and bound is
 * stated only here. In milliseconds.
 */

/**
 * The interval between collections: the greatest age of what a scrape shows, while collections are
 * quick.
 */
export const collectMs = 1000;
/** The interval between checks that everything is still attached. */
export const attachmentsMs = 1000;
/**
 * The interval between flushes. A byte of an open connection is counted after two flushes at the
 * latest, within 15 s: see payload() in bpf/raw_socket.h.
 */
export const flushMs = 5000;
/** The interval while lookups read open connections. */
export const lookupFlushMs = 1000;
/** The interval between drains of the ring: the kernel wakes no process for a record. */
export const drainMs = 50;
/**
 * Records that are not drained in time are dropped, so draining can use four fifths of the time.
 */
export const drainPauseFactor = 0.25;
/**
 * For tasks that can run less often when they are slow: they use a twentieth of the processor time.
 */
export const usualPauseFactor = 20;
/**
 * However slow a task is, its next run begins this long after the last one ended, or at its
 * interval.
 */
export const longestPauseMs = 5000;
/**
 * A snapshot older than this is stale: three collections in a row failed or took too long, at their
 * slowest cadence.
 */
export const staleMs = 3 * longestPauseMs;
/**
 * The interval between reads of the open connections for their records, given the interval between
 * two records of one (`otel.span_interval`): the records of all connections are then spread over that
 * interval. Each reads the whole table, which takes 0.13 s of processor time for 65,536 slots.
 */
export const openRecordsMs = (spanIntervalMs: number) => Math.min(Math.max(spanIntervalMs / 10, 1000), 30_000);
/** A jump of the wall clock is noticed within this time. */
export const clockMs = 100;
/**
 * A search through the connections takes a tenth of a second, so requests share one within this
 * time.
 */
export const peersMs = 2000;
