// SPDX-License-Identifier: Apache-2.0
/** What the log says of the programs of others at the start. */
import { beforeEach, expect, it, vi } from 'vitest';
import { nothingAttached } from '../../daemon/capture/attachment_check.ts';
import { inTurns, lookForNeighbours, type Neighbours } from '../../daemon/capture/neighbours.ts';
import type { Provider } from '../../daemon/capture/provider.ts';
import { loadConfig } from '../../daemon/config/load.ts';
import type { LogSink } from '../../daemon/log_lines.ts';
import { tellNeighbours } from '../../daemon/service/neighbours.ts';

vi.mock(import('../../daemon/capture/neighbours.ts'), async (original) => ({
	...(await original()),
	lookForNeighbours: vi.fn(),
}));

const said: object[] = [];
const push = (level: string) => (context: object, text: string) => void said.push({ level, text, ...context });
const log: LogSink = { info: push('info'), warn: push('warn'), error: push('error') };
const config = loadConfig({ path: undefined, env: { TOASCOPE_TRUST: '192.0.2.0/24' } });
const provider = { cgroup: '/sys/fs/cgroup', attachments: nothingAttached } as unknown as Provider;
const program = (id: number, name: string) => ({ id, name, hook: 'sockops' as const, cgroup: '/sys/fs/cgroup' });

async function tellOf(neighbours: Partial<Neighbours>): Promise<object[]> {
	vi.mocked(lookForNeighbours).mockImplementation(function* () {
		yield;
		return { toascopes: [], others: [], unnamed: [], ...neighbours } as Neighbours;
	});
	await tellNeighbours(provider, config, log, async () => {});
	return said;
}

beforeEach(() => {
	said.length = 0;
});

it('says that names cannot be read, and nothing where none is hidden', async () => {
	expect(await tellOf({})).toEqual([]);
	expect(await tellOf({ unnamed: [program(1, ''), program(2, '')] })).toMatchObject([
		{
			level: 'info',
			text: expect.stringMatching(/may not read their names/),
			programs: 2,
			cgroups: ['/sys/fs/cgroup'],
		},
	]);
});

it.each([
	[[], /does not run any more/, undefined],
	[undefined, /another toascope is attached/, 'unknown'],
])('does not call a daemon stopped whose process cannot be looked at (%j)', async (pids, text, shown) => {
	const toascopes = [{ cgroup: '/sys/fs/cgroup', programs: [program(1, 'toascope_sockop')], pids, trust: [] }];
	const [line] = await tellOf({ toascopes } as unknown as Partial<Neighbours>);
	expect(line).toMatchObject({ text: expect.stringMatching(text) });
	expect((line as { pids?: unknown }).pids).toBe(shown);
});

it('gives the event loop back after each step, and ends where it is to', async () => {
	let turns = 0;
	const steps = function* () {
		for (let step = 0; step < 5; step++) yield;
		return 'done';
	};
	expect(await inTurns(steps(), async () => void turns++)).toBe('done');
	expect(turns).toBe(5);
	const stopping = async () => {
		throw new Error('stopping');
	};
	await expect(inTurns(steps(), stopping)).rejects.toThrow('stopping');
});
