// SPDX-License-Identifier: Apache-2.0
/** What the daemon logs when its start is complete. */
import type { Provider } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';
import { type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';

export interface Started {
	readonly provider: Provider;
	readonly config: Config;
	readonly allAttached: boolean;
	/** Where HTTP listens, or why not. */
	readonly http: string;
	readonly socket: string;
}

export function logStart({ provider, config, allAttached, http, socket }: Started, log: LogSink): void {
	const { name, acceptProgram: accept, tracker } = provider;
	const { cgroup, adopted = false, wholeHost = true } = tracker ?? {};
	const line = allAttached ? logLines.attached : logLines.started;
	logLine(log, line, { provider: name, accept, cgroup, adopted, http, socket });
	if (config.trust.length === 0) logLine(log, logLines.trustEmpty);
	if (!wholeHost && config.cgroup === undefined) logLine(log, logLines.notTheRoot, { cgroup });
	if (accept === 'getpeername') logLine(log, logLines.noFexit, { errno: provider.features.fexit });
}
