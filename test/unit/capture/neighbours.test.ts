// SPDX-License-Identifier: Apache-2.0
/** What is logged at the start about other programs on the same hooks. */
import { beforeEach, expect, it, vi } from 'vitest';
import { nothingAttached } from '../../../daemon/capture/attachment_report.ts';
import { findNeighbours, type Neighbours, runInSlices } from '../../../daemon/capture/neighbours.ts';
import { loadConfig } from '../../../daemon/config/load.ts';
import type { LogSink } from '../../../daemon/log_line.ts';
import { logNeighbours } from '../../../daemon/service/neighbours.ts';

vi.mock(import('../../../daemon/capture/neighbours.ts'), async (original) => ({
	...(await original()),
	findNeighbours: vi.fn(),
}));

const logged: object[] = [];
const push = (level: string) => (context: object, text: string) => void logged.push({ level, text, ...context });
const log: LogSink = { info: push('info'), warn: push('warn'), error: push('error') };
const config = loadConfig({ path: undefined, env: { TOASCOPE_TRUST: '192.0.2.0/24' } });
const program = (id: number, name: string) => ({ id, name, hook: 'sockops' as const, cgroup: '/sys/fs/cgroup' });

async function logLinesFor(neighbours: Partial<Neighbours>): Promise<object[]> {
	vi.mocked(findNeighbours).mockImplementation(function* () {
		yield;
		return { toascopes: [], others: [], unnamed: [], ...neighbours } as Neighbours;
	});
	await logNeighbours('/sys/fs/cgroup', nothingAttached, config, log, async () => {});
	return logged;
}

beforeEach(() => {
	logged.length = 0;
});

it('logs that names cannot be read, and nothing if all of them can', async () => {
	expect(await logLinesFor({})).toEqual([]);
	expect(await logLinesFor({ unnamed: [program(1, ''), program(2, '')] })).toMatchObject([
		{
			level: 'info',
			text: expect.stringMatching(/their names are hidden from this process/),
			programs: 2,
			cgroups: ['/sys/fs/cgroup'],
		},
	]);
});

it.each([
	[[], /toascope that is no longer running/, undefined],
	[undefined, /another toascope with a different trust/, 'unknown'],
])('does not report a daemon as stopped if its process cannot be inspected (pids: %j)', async (pids, text, shown) => {
	const toascopes = [{ cgroup: '/sys/fs/cgroup', programs: [program(1, 'toascope_sockop')], pids, trust: [] }];
	const [line] = await logLinesFor({ toascopes } as unknown as Partial<Neighbours>);
	expect(line).toMatchObject({ text: expect.stringMatching(text) });
	expect((line as { pids?: unknown }).pids).toBe(shown);
});

it('yields to the event loop after each step, and ends when toascope stops', async () => {
	let yields = 0;
	const steps = function* () {
		for (let step = 0; step < 5; step++) yield;
		return 'done';
	};
	expect(await runInSlices(steps(), async () => void yields++)).toBe('done');
	expect(yields).toBe(5);
	const stopping = async () => {
		throw new Error('stopping');
	};
	await expect(runInSlices(steps(), stopping)).rejects.toThrow('stopping');
});
