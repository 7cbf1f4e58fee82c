// SPDX-License-Identifier: Apache-2.0
/** The file descriptor of a socket of node:net. */
import type { Socket } from 'node:net';

/** Undefined: the socket is closed. Node.js has no public way to it: daemon/http/node_check.ts asks at the start whether this one is there. */
export function descriptorOf(socket: Socket): number | undefined {
	const { fd = -1 } = (socket as { readonly _handle?: { readonly fd?: number } | null })._handle ?? {};
	return fd < 0 ? undefined : fd;
}
