// SPDX-License-Identifier: Apache-2.0
/**
 * A process that drives TCP connections step by step on command: `node scripted_process.ts`. It
 * reads commands as JSON lines and reports all events as JSON lines. It ends at the end of its
 * input. See scripted.ts.
 */
import { createServer, connect as open, type Socket } from 'node:net';
import { readJsonLines } from '../../../daemon/lab/process.ts';

export type ScriptedCommand =
	| { readonly do: 'listen'; readonly port: number }
	| { readonly do: 'connect'; readonly id: string; readonly from?: string; readonly to: string; readonly port: number }
	| { readonly do: 'send'; readonly id: string; readonly bytes: number }
	| { readonly do: 'end' | 'reset'; readonly id: string };

export interface ScriptedEvent {
	readonly event: 'listening' | 'open' | 'data' | 'end' | 'close';
	/** For an accepted connection: its peer. */
	readonly id: string;
	readonly accepted: boolean;
	readonly address: string;
	readonly port: number;
	readonly peer: string;
	readonly peerPort: number;
	/** Payload bytes received so far. */
	readonly received: number;
	readonly error?: string;
}

const sockets = new Map<string, Socket>();

function emit(event: Partial<ScriptedEvent>): void {
	process.stdout.write(`${JSON.stringify(event)}\n`);
}

function watch(id: string, socket: Socket, accepted: boolean): void {
	sockets.set(id, socket);
	const { localAddress: address, localPort: port, remoteAddress: peer, remotePort: peerPort } = socket;
	const report = (event: ScriptedEvent['event'], error?: string) =>
		emit({
			event,
			id,
			accepted,
			address: address ?? '',
			port: port ?? 0,
			peer: peer ?? '',
			peerPort: peerPort ?? 0,
			received: socket.bytesRead,
			...(error === undefined ? {} : { error }),
		});
	let error: string | undefined;
	socket.on('data', () => report('data'));
	socket.on('end', () => report('end'));
	socket.on('error', (cause) => {
		error = cause.message;
	});
	socket.on('close', () => {
		report('close', error);
		sockets.delete(id);
	});
	report('open');
}

function listen(port: number): void {
	const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
		watch(`${socket.remoteAddress} ${socket.remotePort}`, socket, true),
	);
	server.listen({ host: '0.0.0.0', port, backlog: 1024 }, () => emit({ event: 'listening', id: '', port }));
}

function connect(command: ScriptedCommand & { do: 'connect' }): void {
	const { id, from, to: host, port } = command;
	const local = from === undefined ? {} : { localAddress: from };
	const socket = open({ host, port, ...local, allowHalfOpen: true, noDelay: true, autoSelectFamily: false });
	socket.once('connect', () => watch(id, socket, false));
	socket.once('error', (cause) => {
		if (!sockets.has(id)) emit({ event: 'close', id, error: cause.message });
	});
}

readJsonLines(process.stdin, (value) => {
	const command = value as ScriptedCommand;
	if (command.do === 'listen') listen(command.port);
	else if (command.do === 'connect') connect(command);
	else if (command.do === 'send') sockets.get(command.id)?.write(Buffer.alloc(command.bytes, 'x'));
	else if (command.do === 'end') sockets.get(command.id)?.end();
	else sockets.get(command.id)?.resetAndDestroy();
}).on('close', () => process.exit());
process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
