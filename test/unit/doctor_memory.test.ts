// SPDX-License-Identifier: Apache-2.0
/** Whether the configured sizes fit the host, as the doctor says it. */
import { expect, test } from 'vitest';
import type { Check } from '../../daemon/doctor/check.ts';
import { type Memory, memoryCheck } from '../../daemon/doctor/memory.ts';
import { values } from '../fixtures/checks.ts';

const root = 'CapEff:\t000001ffffffffff\n';
const nobody = 'CapEff:\t0000000000000000\n';
const memory = (available: number, more: Partial<Memory> = {}): Memory => ({
	available,
	locked: 64 << 10,
	cpus: 4,
	status: nobody,
	...more,
});
const gib = 2 ** 30;

test.each<[string, Memory, object, { running?: true; countsLocked?: true }, Check['state'], RegExp, RegExp]>([
	['the defaults', memory(gib), {}, {}, 'ok', /^the maps take up to \d+ MiB .*; 1 GiB is available$/, /^$/],
	[
		'the largest tables',
		memory(gib),
		{ clients: { capacity: 4_194_304 }, connections: { max: 4_194_304 } },
		{},
		'warn',
		/^the maps take up to \d(\.\d)? GiB of kernel memory; clients.capacity \(4194304\): .* GiB, connections.max .*; 1 GiB is/,
		/^lower clients.capacity, or raise the memory limit/,
	],
	[
		'a large ring',
		memory(gib / 2),
		{ bpf: { ring_bytes: '1 GiB' } },
		{},
		'warn',
		/bpf.ring_bytes \(1 GiB\): 1 GiB, .*; 512 MiB is available$/,
		/^lower bpf.ring_bytes/,
	],
	['a daemon has them', memory(1), {}, { running: true }, 'ok', /^the maps take up to [^;]*; [^;]*$/, /^$/],
	[
		'locked memory',
		memory(gib),
		{},
		{ countsLocked: true },
		'warn',
		/; 64 KiB may be locked$/,
		/LimitMEMLOCK=infinity/,
	],
	['locked memory without a limit', memory(gib, { locked: undefined }), {}, { countsLocked: true }, 'ok', /./, /^$/],
	['locked memory for root', memory(gib, { status: root }), {}, { countsLocked: true }, 'ok', /./, /^$/],
	[
		'many CPUs',
		memory(gib / 16, { cpus: 256 }),
		{ listeners: { max: 16_384 } },
		{},
		'warn',
		/listeners.max \(16384\): 61 MiB, .*; 64 MiB is available$/,
		/^lower listeners.max/,
	],
])('%s', (_what, has, settings, { running = false, countsLocked = false }, state, found, advice) => {
	const said = memoryCheck(has, values(settings), running, {
		memoryAccounting: countsLocked ? 'EINVAL' : '',
	});
	expect(said).toMatchObject({ name: 'memory', state, found: expect.stringMatching(found) });
	expect(said.advice ?? '').toMatch(advice);
});
