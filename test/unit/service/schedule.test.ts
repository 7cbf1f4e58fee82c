// SPDX-License-Identifier: Apache-2.0
/** Repeated work: its order, its failures, and a stop in the middle of a run. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Yield } from '../../../daemon/event_loop.ts';
import { longestPauseMs } from '../../../daemon/service/cadence.ts';
import { type RepeatingTask, type Run, repeat } from '../../../daemon/service/schedule.ts';

const started: RepeatingTask[] = [];
const reported: unknown[] = [];

function onEnd(run: Run): void {
	if ('error' in run) reported.push(run.error);
}

function start(work: Parameters<typeof repeat>[1]): RepeatingTask {
	const repeated = repeat(1, work, { onEnd });
	started.push(repeated);
	return repeated;
}

afterEach(async () => {
	for (const one of started.splice(0)) await one.stop();
	reported.length = 0;
});

describe('runs', () => {
	it('come one after the other, the first at once', async () => {
		const { promise, resolve } = Promise.withResolvers<void>();
		const steps: string[] = [];
		let runs = 0;
		const repeated = start(async (yieldLoop) => {
			const run = runs++;
			steps.push(`${run} begins`);
			await yieldLoop();
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
		expect(reported).toEqual([]);
	});

	/** The pauses after runs with these costs (CPU milliseconds), for work due every second. */
	async function pausesAfter(costsMs: readonly number[], pauseFactor: number): Promise<number[]> {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
		const set = vi.spyOn(globalThis, 'setTimeout');
		try {
			let usedMs = 0;
			const costs = costsMs.values();
			const work = async (yieldLoop: Yield) => {
				const cost = costs.next().value ?? 0;
				usedMs += cost / 2;
				// what other work uses in between does not count
				setImmediate(() => (usedMs += 1e6));
				await yieldLoop();
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

	it('pause for a multiple of their processor time, without that of other work in between', async () => {
		expect(await pausesAfter([100, 100], 20)).toEqual([2000, 2000]);
	});

	it('use an average cost, so that neither one quick run nor one slow run decides', async () => {
		expect(await pausesAfter([80, 0, 160], 25)).toEqual([2000, 1500, 2125]);
	});

	it('pause for the interval if they are cheap, and never longer than longestPauseMs', async () => {
		expect(await pausesAfter([1, 47_000], 20)).toEqual([1000, longestPauseMs]);
	});

	it('use the processor time of this thread, not the time that they waited', async () => {
		const set = vi.spyOn(globalThis, 'setTimeout');
		try {
			const repeated = repeat(1, (yieldLoop) => yieldLoop(delay(150)), { onEnd, pauseFactor: 1000 });
			started.push(repeated);
			await repeated.first;
			expect(set.mock.calls.at(-1)?.[1]).toBeLessThan(longestPauseMs);
		} finally {
			set.mockRestore();
		}
	});

	it('report how long they took, and their error', async () => {
		const runs: Run[] = [];
		const error = new Error('no memory');
		const repeated = repeat(
			3_600_000,
			async (yieldLoop) => {
				await yieldLoop(delay(20));
				throw error;
			},
			{ onEnd: (run) => runs.push(run) },
		);
		started.push(repeated);
		await repeated.first;
		expect(runs).toEqual([{ tookMs: expect.any(Number), error }]);
		expect(runs[0]?.tookMs).toBeGreaterThan(15);
	});

	it('let other work use the event loop at each yield', async () => {
		const served: number[] = [];
		const repeated = start(async (yieldLoop) => {
			for (let step = 0; step < 3; step++) {
				setImmediate(() => served.push(step));
				await yieldLoop();
				expect(served).toHaveLength(step + 1);
			}
		});
		await repeated.first;
		expect(reported).toEqual([]);
	});

	it('that fail, before or after a yield, are reported and repeated', async () => {
		const { promise, resolve } = Promise.withResolvers<void>();
		const errors = [new Error('at once'), new Error('after a yield')];
		let runs = 0;
		start(async (yieldLoop) => {
			const run = runs++;
			if (run === 0) throw errors[0];
			await yieldLoop();
			if (run === 1) throw errors[1];
			resolve();
		});
		await promise;
		expect(reported).toEqual(errors);
	});
});

describe('stop()', () => {
	beforeEach(() => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
	});
	afterEach(() => {
		vi.useRealTimers();
	});

	it('ends a run at its next yield, reports no error, and no other run follows', async () => {
		const steps: string[] = [];
		const { promise, resolve } = Promise.withResolvers<void>();
		const repeated = start(async (yieldLoop) => {
			steps.push('begins');
			try {
				await yieldLoop();
				for (;;) {
					resolve();
					await yieldLoop();
				}
			} finally {
				steps.push('ends');
			}
		});
		await promise;
		await repeated.stop();
		expect(steps).toEqual(['begins', 'ends']);
		expect(reported).toEqual([]);
		expect(vi.getTimerCount()).toBe(0);
	});

	it('reports an error of a run that is ending', async () => {
		const error = new Error('a real one');
		const repeated = start(async (yieldLoop) => {
			await yieldLoop().catch(() => {
				throw error;
			});
		});
		await repeated.stop();
		expect(reported).toEqual([error]);
	});

	it('resolves between two runs as well, even twice, and no run follows', async () => {
		const repeated = start(() => {});
		await repeated.first;
		expect(vi.getTimerCount()).toBe(1);
		await repeated.stop();
		await repeated.stop();
		expect(vi.getTimerCount()).toBe(0);
	});
});
