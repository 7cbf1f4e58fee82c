// SPDX-License-Identifier: Apache-2.0
/** Work that comes again: its order, its failures, its end in the middle of a run. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { NextTurn } from '../../daemon/model/store.ts';
import { longestPauseMs } from '../../daemon/service/cadence.ts';
import { type Repeated, type Run, repeat } from '../../daemon/service/schedule.ts';

const started: Repeated[] = [];
const told: unknown[] = [];

function onEnd(run: Run): void {
	if ('error' in run) told.push(run.error);
}

function start(work: Parameters<typeof repeat>[1]): Repeated {
	const repeated = repeat(1, work, { onEnd });
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
			{ onEnd },
		);
		started.push(repeated);
		await promise;
		expect(told).toEqual([]);
	});

	/** Pauses that runs of these costs (processor milliseconds) are followed by, of work that is due every second. */
	async function pausesAfter(costsMs: readonly number[], pauseFactor: number): Promise<number[]> {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
		const set = vi.spyOn(globalThis, 'setTimeout');
		try {
			let usedMs = 0;
			const costs = costsMs.values();
			const work = async (nextTurn: NextTurn) => {
				const cost = costs.next().value ?? 0;
				usedMs += cost / 2;
				// what others use meanwhile is not the work's
				setImmediate(() => (usedMs += 1e6));
				await nextTurn();
				usedMs += cost / 2;
			};
			const ended: (() => void)[] = [];
			const repeated = repeat(1000, work, { pauseFactor, processorMs: () => usedMs, onEnd: () => ended.shift()?.() });
			started.push(repeated);
			await repeated.first;
			for (const _ of costsMs.slice(1)) {
				const { promise, resolve } = Promise.withResolvers<void>();
				ended.push(resolve);
				vi.advanceTimersToNextTimer();
				await promise;
			}
			return set.mock.calls.map(([, ms]) => ms as number);
		} finally {
			set.mockRestore();
			vi.useRealTimers();
		}
	}

	it('pause for as many times as much as they cost the processor, what others did in between aside', async () => {
		expect(await pausesAfter([100, 100], 20)).toEqual([2000, 2000]);
	});

	it('go by an average: a quick one after a slow one does not count alone, nor does a slow one', async () => {
		expect(await pausesAfter([80, 0, 160], 25)).toEqual([2000, 1500, 2125]);
	});

	it('pause for the interval where they are cheap, and never longer than some seconds', async () => {
		expect(await pausesAfter([1, 47_000], 20)).toEqual([1000, longestPauseMs]);
	});

	it('go by the processor time of this thread, not by how long they waited', async () => {
		const set = vi.spyOn(globalThis, 'setTimeout');
		try {
			const repeated = repeat(1, (nextTurn) => nextTurn(delay(150)), { onEnd, pauseFactor: 1000 });
			started.push(repeated);
			await repeated.first;
			expect(set.mock.calls.at(-1)?.[1]).toBeLessThan(longestPauseMs);
		} finally {
			set.mockRestore();
		}
	});

	it('tell how long they took, and what went wrong', async () => {
		const runs: Run[] = [];
		const error = new Error('no memory');
		const repeated = repeat(
			3_600_000,
			async (nextTurn) => {
				await nextTurn(delay(20));
				throw error;
			},
			{ onEnd: (run) => runs.push(run) },
		);
		started.push(repeated);
		await repeated.first;
		expect(runs).toEqual([{ tookMs: expect.any(Number), error }]);
		expect(runs[0]?.tookMs).toBeGreaterThan(15);
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
