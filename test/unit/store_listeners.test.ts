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

it('one with an open connection, or with a client in the table, stays', async () => {
	const { kernel, look } = await full();
	const open = kernel.open('direct', 'a');
	for (let looks = 0; looks < 4; looks++) await look(idleMs);
	expect(names(await look())).toEqual(['a', 'c', 'd', 'e', 'f', 'g', 'h', 'other']);
	kernel.close(open);
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
	const snapshot = await look();
	expect(snapshot.listenersFolded).toBe(1n);
	expect(names(snapshot)).not.toContain('a');
});
