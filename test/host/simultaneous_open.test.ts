// SPDX-License-Identifier: Apache-2.0
/**
 * A socket whose SYN crossed another (RFC 9293, section 3.5) was connected, not accepted, although
 * the kernel calls the same hook for it.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setImmediate as yieldLoop } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { BpfProvider } from '../../daemon/capture/bpf_provider.ts';
import { bpfReader } from '../../daemon/capture/provider.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const host = '127.0.0.1';
const ports = somePorts(2);
const size = 1000;

/** Sends `size` bytes, and closes when the same number has arrived. */
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

it('a socket whose SYN crossed another is not counted as accepted, and does not create a listener', async () => {
	const settings = { listeners: { ports: [`${ports}-${ports + 1}`] }, bpf: { pin: 'off' } };
	const provider = BpfProvider.open(toConfig(fileSchema.parse(settings), {}), bpfReader, {
		info() {},
		warn() {},
		error() {},
	});
	const server = createServer((socket) => socket.pipe(socket)).listen(ports, host);
	try {
		await once(server, 'listening');
		const { port } = server.address() as AddressInfo;
		// a connection to itself: its SYN crosses itself
		await exchange(connect({ host, port: port + 1, localAddress: host, localPort: port + 1 }));
		const accepted = once(server, 'connection');
		const exchanged = exchange(connect({ host, port }));
		const [served] = (await accepted) as [Socket];
		await Promise.all([exchanged, once(served, 'close')]);

		await provider.counters.sweep(() => yieldLoop());
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
