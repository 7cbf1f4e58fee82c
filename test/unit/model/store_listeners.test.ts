// SPDX-License-Identifier: Apache-2.0
/**
 * Unused listeners are folded when slots get scarce: the least recently used first, with all of
 * their counts.
 */
import { expect, it } from 'vitest';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { collectionMs, idleMs, setupPerTest, start } from '../../kit/model/collection_harness.ts';

setupPerTest();

const names = ({ listeners }: Snapshot) => listeners.map(({ endpoint }) => endpoint?.text ?? 'other').toSorted();
const opened = ({ listeners }: Snapshot, name: string) =>
	listeners.find(({ endpoint }) => (endpoint?.text ?? 'other') === name)?.total.opened;

/** 8 slots, of which the store keeps one free, and 8 listeners, used one second after the other. */
async function full() {
	const started = start({ maxExported: 100 });
	started.kernel.listenersCapacity = 8;
	for (const listener of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
		started.kernel.openAndClose('x', 1n, listener);
		await started.collect();
	}
	return started;
}

it('the least recently used one is folded into other, and gets a slot again when it returns', async () => {
	const { kernel, collect } = await full();
	kernel.openAndClose('y', 1n, 'late');
	expect(opened(await collect(), 'other')).toBe(1n);
	kernel.openAndClose('x', 1n, 'a');
	// clients are folded in two collections, and then the listener
	for (let round = 0; round < 4; round++) await collect(idleMs);
	const snapshot = await collect();
	expect(names(snapshot)).toEqual(['a', 'c', 'd', 'e', 'f', 'g', 'h', 'other']);
	expect(opened(snapshot, 'other')).toBe(2n);
	expect(snapshot.listenersFolded).toBe(1n);
	kernel.openAndClose('y', 1n, 'b');
	const after = await collect();
	expect(opened(after, 'b')).toBe(1n);
	expect(opened(after, 'other')).toBe(2n);
});

it('none is folded while slots are free', async () => {
	const { kernel, collect } = start({ maxExported: 100 });
	kernel.listenersCapacity = 8;
	for (const listener of ['a', 'b', 'c']) kernel.openAndClose('x', 1n, listener);
	for (let round = 0; round < 6; round++) await collect(idleMs);
	expect(names(await collect())).toEqual(['a', 'b', 'c']);
});

/** Records the keys of retired listeners, and expects that no client of theirs is in the table. */
function retirements(kernel: Awaited<ReturnType<typeof full>>['kernel']): string[] {
	const keys: string[] = [];
	const retire = kernel.retireListener.bind(kernel);
	kernel.retireListener = (record) => {
		expect(kernel.tracks('x', record.key), record.key).toBe(false);
		keys.push(record.key);
		retire(record);
	};
	return keys;
}

it('one with an open connection or a client in the table is kept, and not even retired', async () => {
	const { kernel, collect } = start({ maxExported: 100 });
	kernel.listenersCapacity = 8;
	const retired = retirements(kernel);
	// the least recently used of all
	const open = kernel.open('direct', 'a');
	await collect();
	for (const listener of ['b', 'c', 'd', 'e', 'f', 'g', 'h']) {
		kernel.openAndClose('x', 1n, listener);
		await collect();
	}
	for (let round = 0; round < 8; round++) await collect(idleMs / 2);
	expect(names(await collect())).toEqual(['a', 'c', 'd', 'e', 'f', 'g', 'h', 'other']);
	expect(retired).toEqual(['b']);
	kernel.close(open);
});

it('while one is being folded, no other is retired', async () => {
	const { kernel, collect } = await full();
	const retired = retirements(kernel);
	// a program that might have found it is still running
	kernel.foldListener = () => false;
	for (let round = 0; round < 6; round++) await collect(idleMs);
	expect(retired).toEqual(['a']);
});

it('one whose connection opened just before it was retired, and stays open, is kept', async () => {
	const { kernel, collect } = await full();
	const retire = kernel.retireListener.bind(kernel);
	const open: ReturnType<typeof kernel.open>[] = [];
	kernel.retireListener = (record) => {
		if (record.key === 'a' && open.length === 0) open.push(kernel.open('direct', 'a'));
		retire(record);
	};
	for (let round = 0; round < 4 && open.length === 0; round++) await collect(idleMs);
	const snapshot = await collect();
	expect(open).toHaveLength(1);
	expect(opened(snapshot, 'a')).toBe(2n);
	expect(snapshot.listenersFolded).toBe(0n);
});

it('one that is retired while a connection opens is kept', async () => {
	const { kernel, collect } = await full();
	let begun: (() => void) | undefined;
	const retire = kernel.retireListener.bind(kernel);
	// a program that found the slot in service, and counts there after it is retired
	kernel.retireListener = (record) => {
		if (record.key === 'a') begun = kernel.beginToOpen((connection) => void kernel.close(connection), 'z', 'a');
		retire(record);
	};
	for (let round = 0; round < 4 && begun === undefined; round++) await collect(idleMs);
	const snapshot = await collect(collectionMs);
	expect(begun).toBeDefined();
	expect(opened(snapshot, 'a')).toBe(2n);
	expect(snapshot.listenersFolded).toBe(0n);
});

it('if a daemon is killed between the two steps, the next daemon completes them', async () => {
	const { kernel, collect, again } = await full();
	const retired = () => [...kernel.listenerRows.values()].some((row) => row.retired);
	for (let round = 0; round < 6 && !retired(); round++) await collect(idleMs);
	expect(retired()).toBe(true);
	again();
	// the next daemon also waits for runs that began before it started
	expect((await collect()).listenersFolded).toBe(0n);
	const snapshot = await collect();
	expect(snapshot.listenersFolded).toBe(1n);
	expect(names(snapshot)).not.toContain('a');
});
