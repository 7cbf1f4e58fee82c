// SPDX-License-Identifier: Apache-2.0
/** Listeners that are gone leave the table when slots get scarce: the least recent first, with all that they counted. */
import { expect, it } from 'vitest';
import type { Snapshot } from '../../daemon/model/snapshot.ts';
import { idleMs, lookMs, perTest, start } from '../fixtures/looking.ts';

perTest();

const names = ({ listeners }: Snapshot) => listeners.map(({ endpoint }) => endpoint?.text ?? 'other').toSorted();
const opened = ({ listeners }: Snapshot, name: string) =>
	listeners.find(({ endpoint }) => (endpoint?.text ?? 'other') === name)?.total.opened;

/** 8 slots, so that one is to be free; as many listeners visited, a second apart. */
async function full() {
	const started = start({ maxExported: 100 });
	started.kernel.listenersCapacity = 8;
	for (const listener of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
		started.kernel.visit('x', 1n, listener);
		await started.look();
	}
	return started;
}

it('the least recent one goes to other, and its name gets a slot again when it comes back', async () => {
	const { kernel, look } = await full();
	kernel.visit('y', 1n, 'late');
	expect(opened(await look(), 'other')).toBe(1n);
	kernel.visit('x', 1n, 'a');
	// clients leave at one look and the next, then the listener does
	for (let looks = 0; looks < 4; looks++) await look(idleMs);
	const snapshot = await look();
	expect(names(snapshot)).toEqual(['a', 'c', 'd', 'e', 'f', 'g', 'h', 'other']);
	expect(opened(snapshot, 'other')).toBe(2n);
	expect(snapshot.listenersFolded).toBe(1n);
	kernel.visit('y', 1n, 'b');
	const after = await look();
	expect(opened(after, 'b')).toBe(1n);
	expect(opened(after, 'other')).toBe(2n);
});

it('none goes while slots are free', async () => {
	const { kernel, look } = start({ maxExported: 100 });
	kernel.listenersCapacity = 8;
	for (const listener of ['a', 'b', 'c']) kernel.visit('x', 1n, listener);
	for (let looks = 0; looks < 6; looks++) await look(idleMs);
	expect(names(await look())).toEqual(['a', 'b', 'c']);
});

/** Has the keys of those that are retired gathered; none has its client in the table then. */
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

it('one with an open connection, or with a client in the table, stays, and is not even retired', async () => {
	const { kernel, look } = start({ maxExported: 100 });
	kernel.listenersCapacity = 8;
	const retired = retirements(kernel);
	// the least recent of all
	const open = kernel.open('direct', 'a');
	await look();
	for (const listener of ['b', 'c', 'd', 'e', 'f', 'g', 'h']) {
		kernel.visit('x', 1n, listener);
		await look();
	}
	for (let looks = 0; looks < 8; looks++) await look(idleMs / 2);
	expect(names(await look())).toEqual(['a', 'c', 'd', 'e', 'f', 'g', 'h', 'other']);
	expect(retired).toEqual(['b']);
	kernel.close(open);
});

it('one that is on its way out is enough: no other is retired meanwhile', async () => {
	const { kernel, look } = await full();
	const retired = retirements(kernel);
	// a program runs still that may have found it
	kernel.foldListener = () => false;
	for (let looks = 0; looks < 6; looks++) await look(idleMs);
	expect(retired).toEqual(['a']);
});

it('one whose connection opened just before it was retired, and stays open, goes on', async () => {
	const { kernel, look } = await full();
	const retire = kernel.retireListener.bind(kernel);
	const open: ReturnType<typeof kernel.open>[] = [];
	kernel.retireListener = (record) => {
		if (record.key === 'a' && open.length === 0) open.push(kernel.open('direct', 'a'));
		retire(record);
	};
	for (let looks = 0; looks < 4 && open.length === 0; looks++) await look(idleMs);
	const snapshot = await look();
	expect(open).toHaveLength(1);
	expect(opened(snapshot, 'a')).toBe(2n);
	expect(snapshot.listenersFolded).toBe(0n);
});

it('one that is retired when a connection opens goes on', async () => {
	const { kernel, look } = await full();
	let begun: (() => void) | undefined;
	const retire = kernel.retireListener.bind(kernel);
	// a program that had found the slot in service, and counts when it is retired
	kernel.retireListener = (record) => {
		if (record.key === 'a') begun = kernel.beginToOpen((connection) => void kernel.close(connection), 'z', 'a');
		retire(record);
	};
	for (let looks = 0; looks < 4 && begun === undefined; looks++) await look(idleMs);
	const snapshot = await look(lookMs);
	expect(begun).toBeDefined();
	expect(opened(snapshot, 'a')).toBe(2n);
	expect(snapshot.listenersFolded).toBe(0n);
});

it('a daemon that is killed between the two steps leaves what the next one ends', async () => {
	const { kernel, look, again } = await full();
	const retired = () => [...kernel.lines.values()].some((line) => line.retired);
	for (let looks = 0; looks < 6 && !retired(); looks++) await look(idleMs);
	expect(retired()).toBe(true);
	again();
	// the next daemon waits for runs that had begun before it as well
	expect((await look()).listenersFolded).toBe(0n);
	const snapshot = await look();
	expect(snapshot.listenersFolded).toBe(1n);
	expect(names(snapshot)).not.toContain('a');
});
