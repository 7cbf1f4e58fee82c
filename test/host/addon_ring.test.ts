// SPDX-License-Identifier: Apache-2.0
/** The addon's ring: full, read in small parts, closed while it contains records. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { constant, drop, eventLayout, portBitsLayout } from '../../daemon/capture/records/layout.gen.ts';
import { readEvent } from '../../daemon/capture/records/records.ts';
import { type Emission, encodePorts, encodeSettings, noEmission } from '../../daemon/capture/settings.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { findCgroup2, readMounts } from '../../daemon/host/mounts.ts';
import type { BpfObject } from '../../native/binding.ts';
import { smallObject } from '../kit/kernel/addon_child.ts';
import { closeAfterEach, open } from '../kit/kernel/objects.ts';

closeAfterEach();

const key = Buffer.alloc(4);

describe('the ring', () => {
	const size = eventLayout.size;

	/** Attaches at the root of cgroup v2, and emits the opened and closed events of one port. */
	async function listening(
		ringBytes: number,
	): Promise<{ object: BpfObject; connections: (count: number) => Promise<void> } & AsyncDisposable> {
		const server = createServer({ allowHalfOpen: false }, (socket) => socket.resume()).listen(0, '127.0.0.1');
		await once(server, 'listening');
		const { port } = server.address() as AddressInfo;
		const object = open({ mapEntries: { ...smallObject.mapEntries, ring: ringBytes } });
		const config = toConfig(fileSchema.parse({ listeners: { ports: [port] } }), {});
		const ports = encodePorts(config);
		for (let index = 0; index < constant.PORT_WORDS; index++) {
			const slot = Buffer.alloc(4);
			slot.writeUInt32LE(index);
			object.map('ports').update(slot, ports.subarray(index * portBitsLayout.size, (index + 1) * portBitsLayout.size));
		}
		const emission: Emission = { ...noEmission, every: ['opened', 'closed'] };
		object.map('settings').update(key, encodeSettings(config, 0, emission, 0));
		object.attach('toascope_sockops', { cgroup: findCgroup2(readMounts()) ?? '' });
		return {
			object,
			async connections(count) {
				for (let made = 0; made < count; made++) {
					const accepted = once(server, 'connection');
					const socket = connect(port, '127.0.0.1').end('x');
					const [[served]] = await Promise.all([accepted, once(socket, 'close')]);
					if (!served.closed) await once(served, 'close');
				}
			},
			async [Symbol.asyncDispose]() {
				object.close();
				server.close();
				await once(server, 'close');
			},
		};
	}

	/**
	 * Reads this many records. One read can be too early, since the kernel completes the close of a
	 * socket after close(2) has returned.
	 */
	async function drained(object: BpfObject, records: number, buffer: Buffer): Promise<string[]> {
		const events: string[] = [];
		while (events.length < records) {
			const bytes = object.drain(buffer);
			expect(bytes % size).toBe(0);
			expect(bytes).toBeLessThanOrEqual(buffer.length);
			for (let at = 0; at < bytes; at += size) {
				const event = readEvent(buffer, at, () => undefined);
				events.push(`${event?.type} ${event?.connection.cookie}`);
			}
			if (bytes === 0) await new Promise(setImmediate);
		}
		return events;
	}

	test.each([1, 2.5, 7])('read with room for %s records: records are whole, and none is lost', async (room) => {
		await using stage = await listening(1 << 20);
		await stage.connections(50);
		const events = await drained(stage.object, 100, Buffer.alloc(Math.floor(room * size)));
		expect(new Set(events).size).toBe(100);
		expect(stage.object.drain(Buffer.alloc(1 << 16))).toBe(0);
	});

	test('full: records without room are counted as dropped', async () => {
		await using stage = await listening(4096);
		await stage.connections(50);
		const dropped = () => {
			const slot = Buffer.alloc(4);
			const value = Buffer.alloc(8);
			slot.writeUInt32LE(drop.DROP_RING_FULL);
			stage.object.map('drops').lookup(slot, value);
			return Number(value.readBigUInt64LE());
		};
		const buffer = Buffer.alloc(1 << 16);
		let read = 0;
		while (read + dropped() < 100) {
			const bytes = stage.object.drain(buffer);
			read += bytes / size;
			if (bytes === 0) await new Promise(setImmediate);
		}
		expect(read).toBeGreaterThan(0);
		expect(dropped()).toBeGreaterThan(0);
		expect(read + dropped()).toBe(100);
	});

	test('closed while it contains records: drain() fails with EBADF', async () => {
		await using stage = await listening(1 << 20);
		await stage.connections(20);
		await drained(stage.object, 1, Buffer.alloc(size));
		stage.object.close();
		expect(() => stage.object.drain(Buffer.alloc(size))).toThrow(expect.objectContaining({ code: 'EBADF' }));
	});
});
