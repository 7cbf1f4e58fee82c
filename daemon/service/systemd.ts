// SPDX-License-Identifier: Apache-2.0
/** What systemd is told: sd_notify(3). */
import { native } from '../capture/native.ts';
import { type LogSink, logLines, tell } from '../log_lines.ts';

/** Tells systemd, where it asked to be told (Type=notify). A variable that was inherited may name a socket that is gone, or another's. */
export function tellSystemd(state: string, log: LogSink): void {
	const socket = process.env['NOTIFY_SOCKET'];
	if (socket === undefined || socket === '') return;
	try {
		native().notify(socket, state);
	} catch (err) {
		tell(log, logLines.notNotified, { err, state });
	}
}
