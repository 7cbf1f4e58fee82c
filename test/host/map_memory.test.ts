// SPDX-License-Identifier: Apache-2.0
/** The kernel memory of the maps: the doctor's estimate compared with what the kernel counts. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { load } from '../../daemon/capture/load.ts';
import { kernelMemory, mapEntries } from '../../daemon/capture/maps/sizes.ts';
import { clientKeyLayout, exportedLayout } from '../../daemon/capture/records/layout.gen.ts';
import { readMemory } from '../../daemon/doctor/memory.ts';
import { native } from '../../native/binding.ts';
import { toascope } from '../kit/daemon/command.ts';
import { configuration, expectNothingLeft } from '../kit/daemon/refused_start.ts';
import { MemoryLimit } from '../kit/daemon/restricted_process.ts';
import { config } from '../kit/model/checks.ts';

expectNothingLeft();

/** Bytes by map id: fdinfo of all descriptors of this process, see proc(5). */
function countedByKernel(): Map<number, number> {
	const found = new Map<number, number>();
	for (const fd of readdirSync('/proc/self/fdinfo')) {
		try {
			const text = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
			const [, bytes] = /^memlock:\s+(\d+)$/m.exec(text) ?? [];
			const [, id] = /^map_id:\s+(\d+)$/m.exec(text) ?? [];
			if (bytes !== undefined && id !== undefined) found.set(Number(id), Number(bytes));
		} catch {
			// the descriptor of the directory itself, which is closed by now
		}
	}
	return found;
}

const mapsOf = {
	'clients.capacity': ['clients', 'exported', 'prefix_clients'],
	'connections.max': ['connections', 'slot_hashes', 'change_marks', 'extras'],
	'listeners.max': [
		'listeners',
		'listener_keys',
		'listener_guesses',
		'listener_bases',
		'listener_index',
		'listener_since',
		'spare_listeners',
	],
	'bpf.ring_bytes': ['ring'],
} as const;

test.each([
	['the defaults', {}],
	[
		'other sizes',
		{
			clients: { capacity: 10_000 },
			connections: { max: 200_000 },
			listeners: { max: 1000 },
			bpf: { ring_bytes: 65_536 },
		},
	],
])('%s: the estimate is within a quarter of what the kernel counts', (_what, settings) => {
	const probed = native().probe();
	const wanted = config(settings);
	const bpf = load({ config: wanted, probed, reader: 'bpf' });
	try {
		// the kernel allocates the entries of this map one by one
		const { exported } = mapEntries(wanted);
		const keys = Buffer.alloc(exported * clientKeyLayout.size);
		for (let entry = 0; entry < exported; entry++) keys.writeUInt32LE(entry, entry * clientKeyLayout.size);
		bpf.map('exported').updateAll(keys, Buffer.alloc(exported * exportedLayout.size));
		const counted = countedByKernel();
		const estimated = kernelMemory(wanted, readMemory('').cpus);
		for (const [key, maps] of Object.entries(mapsOf)) {
			const bytes = maps.reduce((sum, map) => sum + (counted.get(bpf.map(map).id()) ?? 0), 0);
			const ratio = estimated[key as keyof typeof mapsOf] / bytes;
			expect(ratio, `${key}: ${bytes} bytes`).toBeGreaterThan(0.75);
			expect(ratio, `${key}: ${bytes} bytes`).toBeLessThan(1.25);
		}
	} finally {
		bpf.close();
	}
});

test('the doctor reports that the tables do not fit into the memory limit of its cgroup', async ({ skip }) => {
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
