// SPDX-License-Identifier: Apache-2.0
/**
 * The lab's client, a separate script: `node client.ts`. Reads commands as JSON lines, makes the
 * connections and answers each command with their results. Exits at the end of its input.
 */
import { randomBytes } from 'node:crypto';
import { connect, isIPv6, type Socket } from 'node:net';
import { readJsonLines } from './process.ts';
import { type Answer, type Batch, type Command, type ConnectionResult, encodeHeader, headerSize } from './protocol.ts';
import { addressAfter } from './sources.ts';

const replyKept = 65_536;
const held = new Set<Socket>();

/** Calls `onDone` once: when the connection has closed or, with `hold`, its reply is complete. */
function open(batch: Batch, from: string | undefined, onDone: (result: ConnectionResult) => void): void {
	const id = randomBytes(16).toString('hex');
	const { text, until } = batch;
	const wanted = batch.receive ?? 0;
	const socket = connect({
		host: batch.to,
		port: batch.port,
		family: isIPv6(batch.to) ? 6 : 4,
		noDelay: true,
		autoSelectFamily: false,
		...(from === undefined ? {} : { localAddress: from }),
	});
	let client = '';
	let clientPort = 0;
	let received = 0;
	let done = false;
	let error: string | undefined;
	const reply: Buffer[] = [];

	const replyText = () => Buffer.concat(reply).toString('utf8', 0, replyKept);
	/** The reply to `text` without `until` ends with the connection. */
	const complete = () => (text === undefined ? received >= wanted : until !== undefined && replyText().endsWith(until));

	const finish = () => {
		if (done) return;
		done = true;
		onDone({
			id,
			client,
			clientPort,
			sent: socket.bytesWritten,
			received,
			...(text === undefined ? {} : { reply: replyText() }),
			...(error === undefined ? {} : { error }),
		});
	};
	const replied = () => {
		if (!complete()) return;
		if (batch.hold !== true) {
			socket.end();
			return;
		}
		held.add(socket);
		finish();
	};

	socket.on('connect', () => {
		client = socket.localAddress ?? '';
		clientPort = socket.localPort ?? 0;
		const send = Math.max(batch.send ?? 0, headerSize);
		const request =
			text ?? Buffer.concat([encodeHeader({ id, send, receive: batch.receive ?? 0 }), Buffer.alloc(send - headerSize)]);
		socket.write(request, replied);
	});
	socket.on('data', (part) => {
		received += part.length;
		if (text !== undefined && received <= replyKept) reply.push(part);
		replied();
	});
	socket.on('end', () => {
		if (text === undefined && !complete()) error ??= `closed after ${received} of ${wanted} bytes`;
	});
	socket.on('error', (cause) => {
		error ??= cause.message;
	});
	socket.on('close', () => {
		held.delete(socket);
		finish();
	});
}

function run(batch: Batch): Promise<ConnectionResult[]> {
	const clients = batch.clients ?? 1;
	const count = batch.count ?? clients;
	const concurrency = batch.hold === true ? count : Math.max(1, batch.concurrency ?? 256);
	const results: ConnectionResult[] = [];
	return new Promise((resolve) => {
		let started = 0;
		const next = () => {
			if (results.length === count) return resolve(results);
			while (started < count && started - results.length < concurrency) {
				const { from } = batch;
				const source = from === undefined ? undefined : addressAfter(from, started % clients);
				started++;
				open(batch, source, (result) => {
					results.push(result);
					next();
				});
			}
		};
		next();
	});
}

async function release(): Promise<ConnectionResult[]> {
	const closed = [...held].map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())));
	for (const socket of held) socket.end();
	await Promise.all(closed);
	return [];
}

const answer = (value: Answer | { ready: true }) => process.stdout.write(`${JSON.stringify(value)}\n`);

readJsonLines(process.stdin, async (value) => {
	const command = value as Command;
	answer({ command: command.command, results: await ('run' in command ? run(command.run) : release()) });
}).on('close', () => process.exit());
answer({ ready: true });
