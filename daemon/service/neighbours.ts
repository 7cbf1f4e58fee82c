// SPDX-License-Identifier: Apache-2.0
/** What a starting daemon logs about other programs that are attached to the same sockets. */

import type { AttachmentReport } from '../capture/attachment_report.ts';
import { type FoundProgram, findNeighbours, runInSlices } from '../capture/neighbours.ts';
import type { Provider } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';
import { yieldOnce } from '../event_loop.ts';
import { type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';

/** Aborts the search when the daemon stops. */
class Stopping extends Error {}

/**
 * Runs after the start: it examines thousands of cgroups and processes, and READY=1 must not wait
 * for that. Ends early once `stopping` returns true.
 */
export async function logNeighboursInBackground(
	provider: Provider,
	config: Config,
	log: LogSink,
	stopping: () => boolean,
): Promise<void> {
	const yieldLoop = async () => {
		await yieldOnce();
		if (stopping()) throw new Stopping();
	};
	try {
		// READY=1 and the first requests come before it
		await yieldLoop();
		const { tracker, attachments } = provider;
		if (tracker !== undefined) await logNeighbours(tracker.cgroup, attachments, config, log, yieldLoop);
	} catch (error) {
		if (!(error instanceof Stopping)) throw error;
	}
}

/**
 * Logs nothing about daemons that trust the same networks, and nothing at all where this process is
 * not permitted to query programs.
 */
export async function logNeighbours(
	cgroup: string,
	attachments: AttachmentReport,
	config: Config,
	log: LogSink,
	yieldLoop: () => Promise<void>,
): Promise<void> {
	// without a report, its own programs would seem to be another daemon's
	if (attachments.missing.some(({ reason }) => reason === 'attachments_unknown')) return;
	const own = attachments.programs.flatMap(({ id }) => id ?? []);
	const trusted = config.trust.map(({ text }) => text).toSorted();
	const found = await runInSlices(findNeighbours(cgroup, own, undefined, config), yieldLoop);
	const unnamed = found?.unnamed ?? [];
	if (unnamed.length > 0) {
		logLine(log, logLines.programNamesHidden, { programs: unnamed.length, cgroups: cgroupsOf(unnamed) });
	}
	for (const other of found?.toascopes ?? []) {
		const trust = other.trust ?? 'unknown';
		const { cgroup: at, pids } = other;
		if (pids?.length === 0) {
			logLine(log, logLines.leftAttached, { cgroup: at, programs: other.programs.map(({ id }) => id), trust });
		} else if (other.trust?.join() !== trusted.join()) {
			logLine(log, logLines.otherToascope, { cgroup: at, pids: pids ?? 'unknown', trust });
		}
	}
}

/** The first eight cgroups: a host has hundreds. */
function cgroupsOf(programs: readonly FoundProgram[]): string[] {
	return [...new Set(programs.map(({ cgroup }) => cgroup))].slice(0, 8);
}
