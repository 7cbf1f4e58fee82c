// SPDX-License-Identifier: Apache-2.0
/** The file descriptor of a node:net socket. */
import type { Socket } from 'node:net';

/**
 * Undefined: the socket is closed. Node.js has no public API for the descriptor, so
 * daemon/http/node_check.ts checks at the start that this way works.
 */
export function descriptorOf(socket: Socket): number | undefined {
	const { fd = -1 } = (socket as { readonly _handle?: { readonly fd?: number } | null })._handle ?? {};
	return fd < 0 ? undefined : fd;
}
