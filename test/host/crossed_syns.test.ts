// SPDX-License-Identifier: Apache-2.0
/** A socket whose SYN crossed another (RFC 9293, section 3.5) was connected, not accepted: the kernel calls the same hook for it. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Programs } from '../../daemon/capture/programs.ts';
import { bpfReader } from '../../daemon/capture/provider.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { somePorts } from '../fixtures/stage.ts';

const host = '127.0.0.1';
const ports = somePorts(2);
const size = 1000;

/** Sends, and closes when as much has come. */
async function exchange(socket: Socket): Promise<void> {
	const closed = once(socket, 'close');
	let received = 0;
	socket.on('data', ({ length }) => {
		received += length;
		if (received === size) socket.end();
	});
	socket.write(Buffer.alloc(size));
	await closed;
	expect(received).toBe(size);
}

it('is no connection that anybody accepted, and makes no listener', async () => {
	const settings = { listeners: { ports: [`${ports}-${ports + 1}`] }, bpf: { pin: 'off' } };
	const provider = Programs.open(toConfig(fileSchema.parse(settings), {}), bpfReader, {
		info() {},
		warn() {},
		error() {},
	});
	const server = createServer((socket) => socket.pipe(socket)).listen(ports, host);
	try {
		await once(server, 'listening');
		const { port } = server.address() as AddressInfo;
		// to itself: one SYN is both
		await exchange(connect({ host, port: port + 1, localAddress: host, localPort: port + 1 }));
		const accepted = once(server, 'connection');
		const both = exchange(connect({ host, port }));
		const [served] = (await accepted) as [Socket];
		await Promise.all([both, once(served, 'close')]);

		await provider.counters.sweep(() => turn());
		const counted = provider.counters
			.readListeners()
			.filter(({ endpoint }) => endpoint !== undefined)
			.map(({ endpoint, total }) => ({ port: endpoint?.port, opened: total.opened, sent: total.sentBytes }));
		expect(counted).toEqual([{ port, opened: 1n, sent: BigInt(size) }]);
	} finally {
		server.close();
		provider.close(false);
	}
});
