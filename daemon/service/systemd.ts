// SPDX-License-Identifier: Apache-2.0
/** What systemd is told: sd_notify(3). */
import { native } from '../capture/native.ts';

/** Tells systemd, where it asked to be told (Type=notify). */
export function tellSystemd(state: string): void {
	const socket = process.env['NOTIFY_SOCKET'];
	if (socket !== undefined && socket !== '') native().notify(socket, state);
}
