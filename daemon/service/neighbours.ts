// SPDX-License-Identifier: Apache-2.0
/** What a daemon that starts says of others that are attached to the same sockets. */
import { type Found, inTurns, lookForNeighbours } from '../capture/neighbours.ts';
import type { Provider } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';
import { type LogSink, logLines, tell } from '../log_lines.ts';

/** Those that trust the same networks are no matter. Says nothing where this process may not ask. */
export async function tellNeighbours(
	{ cgroup, attachments }: Provider,
	config: Config,
	log: LogSink,
	nextTurn: () => Promise<void>,
): Promise<void> {
	if (cgroup === undefined) return;
	// its own programs would be those of another
	if (attachments.missing.some(({ reason }) => reason === 'attachments_unknown')) return;
	const own = attachments.programs.flatMap(({ id }) => id ?? []);
	const trusted = config.trust.map(({ text }) => text).toSorted();
	const found = await inTurns(lookForNeighbours(cgroup, own, undefined, config), nextTurn);
	const unnamed = found?.unnamed ?? [];
	if (unnamed.length > 0) {
		tell(log, logLines.programsUnnamed, { programs: unnamed.length, cgroups: cgroupsOf(unnamed) });
	}
	for (const other of found?.toascopes ?? []) {
		const trust = other.trust ?? 'unknown';
		const { cgroup: at, pids } = other;
		if (pids?.length === 0) {
			tell(log, logLines.leftAttached, { cgroup: at, programs: other.programs.map(({ id }) => id), trust });
		} else if (other.trust?.join() !== trusted.join()) {
			tell(log, logLines.otherToascope, { cgroup: at, pids: pids ?? 'unknown', trust });
		}
	}
}

/** The first ones: a host has hundreds. */
function cgroupsOf(programs: readonly Found[]): string[] {
	return [...new Set(programs.map(({ cgroup }) => cgroup))].slice(0, 8);
}
