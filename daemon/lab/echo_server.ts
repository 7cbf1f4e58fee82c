// SPDX-License-Identifier: Apache-2.0
/**
 * The lab's server, a separate script: `node echo_server.ts HOST PORT`. The header of each
 * connection says how much the client sends and how much it expects back. Prints one ready line,
 * then arrays of EchoRecord. Exits at the end of its input.
 */
import { createServer, type Socket } from 'node:net';
import { decodeHeader, type EchoRecord, type Header, headerSize } from './protocol.ts';

// the name that toascope shows for the owner of its connections
process.title = 'lab-server';

const chunk = Buffer.alloc(65_536, 'x');
let ended: EchoRecord[] = [];

/** Writes the connections that end in one iteration of the event loop as one line. */
function report(record: EchoRecord): void {
	if (ended.push(record) > 1) return;
	setImmediate(() => {
		process.stdout.write(`${JSON.stringify(ended)}\n`);
		ended = [];
	});
}

async function send(socket: Socket, length: number): Promise<void> {
	for (let left = length; left > 0 && !socket.destroyed; left -= chunk.length) {
		const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
		if (!socket.write(part)) {
			await new Promise<void>((resolve) => socket.once('drain', resolve).once('close', resolve));
		}
	}
}

function serve(socket: Socket): void {
	const peer = socket.remoteAddress ?? '';
	const peerPort = socket.remotePort ?? 0;
	let head: Buffer = Buffer.alloc(0);
	let header: Header | undefined;
	let replying: Promise<void> | undefined;
	let error: string | undefined;

	socket.on('data', (part) => {
		if (header === undefined) {
			head = Buffer.concat([head, part]);
			if (head.length < headerSize) return;
			header = decodeHeader(head);
		}
		if (replying === undefined && socket.bytesRead >= header.send) replying = send(socket, header.receive);
	});
	socket.on('end', async () => {
		await replying;
		socket.end();
	});
	socket.on('error', (cause) => {
		error = cause.message;
	});
	socket.on('close', () => {
		report({
			id: header?.id ?? '',
			peer,
			peerPort,
			received: socket.bytesRead,
			sent: socket.bytesWritten,
			...(error === undefined ? {} : { error }),
		});
	});
}

const [host, port] = process.argv.slice(2);
const server = createServer({ allowHalfOpen: true, noDelay: true }, serve);
server.on('error', (error) => {
	process.stderr.write(`${error.message}\n`);
	process.exit(1);
});
server.listen({ host, port: Number(port), backlog: 4096 }, () => {
	const address = server.address();
	const listening = typeof address === 'object' && address !== null ? address.port : Number(port);
	process.stdout.write(`${JSON.stringify({ ready: true, port: listening })}\n`);
});
process.stdin.on('end', () => process.exit()).resume();
