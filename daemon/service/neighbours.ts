// SPDX-License-Identifier: Apache-2.0
/** What a starting daemon logs about other programs that are attached to the same sockets. */

import type { AttachmentReport } from '../capture/attachment_report.ts';
import { type FoundProgram, findNeighbours, runInSlices } from '../capture/neighbours.ts';
import type { Config } from '../config/config.ts';
import { type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';

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
