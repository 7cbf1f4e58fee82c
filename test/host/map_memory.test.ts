// SPDX-License-Identifier: Apache-2.0
/** What the maps take of the kernel's memory: the doctor's estimate beside what the kernel counts. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { clientKeyLayout, exportedLayout } from '../../daemon/capture/layout.gen.ts';
import { load } from '../../daemon/capture/load.ts';
import { native } from '../../daemon/capture/native.ts';
import { kernelMemory, mapEntries } from '../../daemon/capture/sizes.ts';
import { readMemory } from '../../daemon/doctor/memory.ts';
import { config } from '../fixtures/checks.ts';
import { toascope } from '../fixtures/command.ts';
import { configuration, expectNothingLeft } from '../fixtures/refused_start.ts';
import { MemoryLimit } from '../fixtures/wrong_host.ts';

expectNothingLeft();

/** Bytes by number of the map: proc(5) fdinfo of all that this process has open. */
function countedByKernel(): Map<number, number> {
	const found = new Map<number, number>();
	for (const fd of readdirSync('/proc/self/fdinfo')) {
		try {
			const text = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
			const [, bytes] = /^memlock:\s+(\d+)$/m.exec(text) ?? [];
			const [, id] = /^map_id:\s+(\d+)$/m.exec(text) ?? [];
			if (bytes !== undefined && id !== undefined) found.set(Number(id), Number(bytes));
		} catch {
			// the descriptor of the directory itself
		}
	}
	return found;
}

const mapsOf = {
	'clients.capacity': ['clients', 'exported', 'prefix_clients'],
	'connections.max': ['connections', 'peer_tags', 'extras'],
	'listeners.max': [
		'listeners',
		'listener_keys',
		'listener_guesses',
		'listener_bases',
		'listener_places',
		'listener_since',
		'spare_listeners',
	],
	'bpf.ring_bytes': ['ring'],
} as const;

test.each([
	['the defaults', {}],
	[
		'others',
		{
			clients: { capacity: 10_000 },
			connections: { max: 200_000 },
			listeners: { max: 1000 },
			bpf: { ring_bytes: 65_536 },
		},
	],
])('%s: within a quarter of what the kernel counts', (_what, settings) => {
	const probed = native().probe();
	const wanted = config(settings);
	const bpf = load({ config: wanted, probed, reader: 'bpf' });
	try {
		// the kernel makes its entries one by one
		const { exported } = mapEntries(wanted);
		const keys = Buffer.alloc(exported * clientKeyLayout.size);
		for (let entry = 0; entry < exported; entry++) keys.writeUInt32LE(entry, entry * clientKeyLayout.size);
		bpf.updateAll('exported', keys, Buffer.alloc(exported * exportedLayout.size));
		const counted = countedByKernel();
		const estimated = kernelMemory(wanted, readMemory('').cpus);
		for (const [key, maps] of Object.entries(mapsOf)) {
			const bytes = maps.reduce((sum, map) => sum + (counted.get(bpf.mapId(map)) ?? 0), 0);
			const ratio = estimated[key as keyof typeof mapsOf] / bytes;
			expect(ratio, `${key}: ${bytes} bytes`).toBeGreaterThan(0.75);
			expect(ratio, `${key}: ${bytes} bytes`).toBeLessThan(1.25);
		}
	} finally {
		bpf.close();
	}
});

test('the doctor says that the tables do not fit into the memory limit that it is within', async ({ skip }) => {
	skip(MemoryLimit.root === undefined, 'no memory controller here');
	using limit = new MemoryLimit(400 << 20);
	const file = configuration('clients: {capacity: 4194304}');
	const { code, out } = await toascope(['doctor', '--json', '--config', file], { by: limit.by });
	const memory = JSON.parse(out).checks.find(({ name }: { name: string }) => name === 'memory');
	expect(memory, out).toMatchObject({
		state: 'warn',
		found: expect.stringMatching(/clients\.capacity \(4194304\): 1\.\d GiB/),
		advice: expect.stringMatching(/^lower clients\.capacity/),
	});
	expect(code).toBe(0);
});
