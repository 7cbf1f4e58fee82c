// SPDX-License-Identifier: Apache-2.0
/** What a daemon that starts says of others that are attached to the same sockets. */
import { lookForNeighbours } from '../capture/neighbours.ts';
import type { Provider } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';
import { type LogSink, logLines, tell } from '../log_lines.ts';

/** Those that trust the same networks are no matter. Says nothing where this process may not ask. */
export function tellNeighbours({ cgroup, attachments }: Provider, config: Config, log: LogSink): void {
	if (cgroup === undefined) return;
	const own = attachments.programs.flatMap(({ id }) => id ?? []);
	const trusted = config.trust.map(({ text }) => text).toSorted();
	for (const other of lookForNeighbours(cgroup, own, undefined, config)?.toascopes ?? []) {
		const trust = other.trust ?? 'unknown';
		const { cgroup: at, pids } = other;
		if (pids?.length === 0) {
			tell(log, logLines.leftAttached, { cgroup: at, programs: other.programs.map(({ id }) => id), trust });
		} else if (other.trust?.join() !== trusted.join()) {
			tell(log, logLines.otherToascope, { cgroup: at, pids: pids ?? 'unknown', trust });
		}
	}
}
