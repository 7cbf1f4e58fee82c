// SPDX-License-Identifier: Apache-2.0
import type { Socket } from 'node:net';

/**
 * Resolves when the socket has closed, even after an error, for which once() of node:events would
 * reject.
 */
export function socketClosed(socket: Socket): Promise<void> {
	if (socket.closed) return Promise.resolve();
	return new Promise((resolve) => {
		socket.on('error', () => {}).once('close', () => resolve());
	});
}
