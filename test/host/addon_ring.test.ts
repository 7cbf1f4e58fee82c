// SPDX-License-Identifier: Apache-2.0
/** The addon's ring: full, read in small pieces, closed while records wait. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { drop, eventLayout, eventType, limit, portBitsLayout } from '../../daemon/capture/layout.gen.ts';
import { findCgroup2, readMounts } from '../../daemon/capture/mounts.ts';
import type { BpfObject } from '../../daemon/capture/native.ts';
import { readEvent } from '../../daemon/capture/records.ts';
import { encodePorts, encodeSettings } from '../../daemon/capture/settings.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { smallObject } from '../fixtures/addon_child.ts';
import { closeAfterEach, open } from '../fixtures/objects.ts';

closeAfterEach();

const key = Buffer.alloc(4);

describe('the ring', () => {
	const size = eventLayout.size;

	/** Attached at the root of cgroup v2; sends what happens on one port, opened and closed. */
	async function listening(
		ringBytes: number,
	): Promise<{ object: BpfObject; connections: (count: number) => Promise<void> } & AsyncDisposable> {
		const server = createServer({ allowHalfOpen: false }, (socket) => socket.resume()).listen(0, '127.0.0.1');
		await once(server, 'listening');
		const { port } = server.address() as AddressInfo;
		const object = open({ mapEntries: { ...smallObject.mapEntries, ring: ringBytes } });
		const config = toConfig(fileSchema.parse({ listeners: { ports: [port] } }), {});
		const ports = encodePorts(config);
		for (let index = 0; index < limit.PORT_WORDS; index++) {
			const place = Buffer.alloc(4);
			place.writeUInt32LE(index);
			object.update('ports', place, ports.subarray(index * portBitsLayout.size, (index + 1) * portBitsLayout.size));
		}
		const events = (1 << eventType.EVENT_OPENED) | (1 << eventType.EVENT_CLOSED);
		object.update('settings', key, encodeSettings(config, 0, events, 0));
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

	/** Reads until so many records are there: the close of a socket ends in the kernel after its call has returned. */
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

	test.each([1, 2.5, 7])('read by %s records at a time: whole ones, and none is lost', async (room) => {
		await using stage = await listening(1 << 20);
		await stage.connections(50);
		const events = await drained(stage.object, 100, Buffer.alloc(Math.floor(room * size)));
		expect(new Set(events).size).toBe(100);
		expect(stage.object.drain(Buffer.alloc(1 << 16))).toBe(0);
	});

	test('full: what has no room is counted', async () => {
		await using stage = await listening(4096);
		await stage.connections(50);
		const lost = () => {
			const place = Buffer.alloc(4);
			const value = Buffer.alloc(8);
			place.writeUInt32LE(drop.DROP_RING_FULL);
			stage.object.lookup('drops', place, value);
			return Number(value.readBigUInt64LE());
		};
		const buffer = Buffer.alloc(1 << 16);
		let read = 0;
		while (read + lost() < 100) {
			const bytes = stage.object.drain(buffer);
			read += bytes / size;
			if (bytes === 0) await new Promise(setImmediate);
		}
		expect(read).toBeGreaterThan(0);
		expect(lost()).toBeGreaterThan(0);
		expect(read + lost()).toBe(100);
	});

	test('closed while records wait', async () => {
		await using stage = await listening(1 << 20);
		await stage.connections(20);
		await drained(stage.object, 1, Buffer.alloc(size));
		stage.object.close();
		expect(() => stage.object.drain(Buffer.alloc(size))).toThrow(expect.objectContaining({ code: 'EBADF' }));
	});
});
