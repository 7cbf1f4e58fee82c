// SPDX-License-Identifier: Apache-2.0
/** Work that comes again: its order, its failures, its end in the middle of a run. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { NextTurn } from '../../daemon/model/store.ts';
import { type Repeated, repeat } from '../../daemon/service/schedule.ts';

const started: Repeated[] = [];
const told: unknown[] = [];

function start(work: Parameters<typeof repeat>[1]): Repeated {
	const repeated = repeat(1, work, (error) => told.push(error));
	started.push(repeated);
	return repeated;
}

afterEach(async () => {
	for (const one of started.splice(0)) await one.stop();
	told.length = 0;
});

describe('runs', () => {
	it('come one after the other, the first at once', async () => {
		const { promise, resolve } = Promise.withResolvers<void>();
		const steps: string[] = [];
		let runs = 0;
		const repeated = start(async (nextTurn) => {
			const run = runs++;
			steps.push(`${run} begins`);
			await nextTurn();
			steps.push(`${run} ends`);
			if (run === 2) resolve();
		});
		expect(steps).toEqual(['0 begins']);
		await repeated.first;
		expect(steps).toEqual(['0 begins', '0 ends']);
		await promise;
		expect(steps).toEqual(['0 begins', '0 ends', '1 begins', '1 ends', '2 begins', '2 ends']);
	});

	it('come sooner while more is waiting', async () => {
		const { promise, resolve } = Promise.withResolvers<void>();
		let runs = 0;
		const repeated = repeat(
			3_600_000,
			() => {
				if (++runs === 3) resolve();
				return runs < 3;
			},
			(error) => told.push(error),
		);
		started.push(repeated);
		await promise;
		expect(told).toEqual([]);
	});

	it('pause for as many times as long as they held the event loop, waiting aside', async () => {
		const [heldMs, waitedMs, factor] = [10, 200, 10];
		const { promise, resolve } = Promise.withResolvers<number>();
		let ended: number | undefined;
		const hold = () => {
			const until = performance.now() + heldMs;
			while (performance.now() < until);
		};
		const work = async (nextTurn: () => Promise<void>) => {
			if (ended !== undefined) return resolve(performance.now() - ended);
			hold();
			// others take the turn that they are given
			setImmediate(() => {
				const until = performance.now() + waitedMs;
				while (performance.now() < until);
			});
			await nextTurn();
			hold();
			ended = performance.now();
		};
		started.push(repeat(1, work, (error) => told.push(error), factor));
		const pausedMs = await promise;
		// a timer may be a millisecond early
		expect(pausedMs).toBeGreaterThan(2 * heldMs * factor - 2);
		expect(pausedMs).toBeLessThan(waitedMs * factor);
	});

	it.each(['comes', 'fails'])('do not pause for what they waited for, when it %s', async (what) => {
		const [waitedMs, factor] = [100, 50];
		const { promise, resolve } = Promise.withResolvers<number>();
		let ended: number | undefined;
		const work = async (nextTurn: NextTurn) => {
			if (ended !== undefined) return resolve(performance.now() - ended);
			const awaited = delay(waitedMs).then(() => {
				if (what === 'fails') throw new Error('it does not come');
			});
			await nextTurn(awaited).catch((error) => told.push(error));
			ended = performance.now();
		};
		started.push(repeat(1, work, (error) => told.push(error), factor));
		expect(await promise).toBeLessThan(waitedMs * factor);
		expect(told).toHaveLength(what === 'fails' ? 1 : 0);
	});

	it('let others have the event loop at each turn', async () => {
		const turns: number[] = [];
		const repeated = start(async (nextTurn) => {
			for (let turn = 0; turn < 3; turn++) {
				setImmediate(() => turns.push(turn));
				await nextTurn();
				expect(turns).toHaveLength(turn + 1);
			}
		});
		await repeated.first;
		expect(told).toEqual([]);
	});

	it('that fail, before or after a turn, are told, and come again', async () => {
		const { promise, resolve } = Promise.withResolvers<void>();
		const errors = [new Error('at once'), new Error('after a turn')];
		let runs = 0;
		start(async (nextTurn) => {
			const run = runs++;
			if (run === 0) throw errors[0];
			await nextTurn();
			if (run === 1) throw errors[1];
			resolve();
		});
		await promise;
		expect(told).toEqual(errors);
	});
});

describe('stop()', () => {
	beforeEach(() => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
	});
	afterEach(() => {
		vi.useRealTimers();
	});

	it('ends a run at its next turn, tells nobody, and no other follows', async () => {
		const steps: string[] = [];
		const { promise, resolve } = Promise.withResolvers<void>();
		const repeated = start(async (nextTurn) => {
			steps.push('begins');
			try {
				await nextTurn();
				for (;;) {
					resolve();
					await nextTurn();
				}
			} finally {
				steps.push('ends');
			}
		});
		await promise;
		await repeated.stop();
		expect(steps).toEqual(['begins', 'ends']);
		expect(told).toEqual([]);
		expect(vi.getTimerCount()).toBe(0);
	});

	it('tells of what goes wrong in a run while it ends', async () => {
		const error = new Error('a real one');
		const repeated = start(async (nextTurn) => {
			await nextTurn().catch(() => {
				throw error;
			});
		});
		await repeated.stop();
		expect(told).toEqual([error]);
	});

	it('resolves between two runs too, twice as well, and none follows', async () => {
		const repeated = start(() => {});
		await repeated.first;
		expect(vi.getTimerCount()).toBe(1);
		await repeated.stop();
		await repeated.stop();
		expect(vi.getTimerCount()).toBe(0);
	});
});
