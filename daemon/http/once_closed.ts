// SPDX-License-Identifier: Apache-2.0
/** Detects the end of a response. */
import type { Socket } from 'node:net';
import type { FastifyReply } from 'fastify';

/** Calls back once, when the response or its connection has closed. */
export function onceClosed(reply: FastifyReply, socket: Socket, callback: () => void): void {
	const onClose = () => {
		reply.raw.off('close', onClose);
		socket.off('close', onClose);
		callback();
	};
	reply.raw.once('close', onClose);
	socket.once('close', onClose);
}
