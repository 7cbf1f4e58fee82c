// SPDX-License-Identifier: Apache-2.0
/** When an answer needs nothing any more. */
import type { Socket } from 'node:net';
import type { FastifyReply } from 'fastify';

/** Calls back once: when the answer has gone, or its connection. */
export function onceGone(reply: FastifyReply, socket: Socket, then: () => void): void {
	const gone = () => {
		reply.raw.off('close', gone);
		socket.off('close', gone);
		then();
	};
	reply.raw.once('close', gone);
	socket.once('close', gone);
}
