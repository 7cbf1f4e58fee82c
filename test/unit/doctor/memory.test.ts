// SPDX-License-Identifier: Apache-2.0
/** The doctor's finding on whether the configured sizes fit the host. */
import { expect, test } from 'vitest';
import type { Check } from '../../../daemon/doctor/check.ts';
import { type Memory, memoryCheck } from '../../../daemon/doctor/memory.ts';
import { values } from '../../kit/model/checks.ts';

const root = 'CapEff:\t000001ffffffffff\n';
const unprivileged = 'CapEff:\t0000000000000000\n';
const memory = (available: number, more: Partial<Memory> = {}): Memory => ({
	available,
	locked: 64 << 10,
	cpus: 4,
	status: unprivileged,
	...more,
});
const gib = 2 ** 30;

test.each<[string, Memory, object, { running?: true; countsLocked?: true }, Check['state'], RegExp, RegExp]>([
	['the defaults', memory(gib), {}, {}, 'ok', /^the maps use up to \d+ MiB .*; 1 GiB is available$/, /^$/],
	[
		'the largest tables',
		memory(gib),
		{ clients: { capacity: 4_194_304 }, connections: { max: 4_194_304 } },
		{},
		'warn',
		/^the maps use up to \d(\.\d)? GiB of kernel memory; clients.capacity \(4194304\): .* GiB, connections.max .*; 1 GiB is/,
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
	['a daemon has the maps', memory(1), {}, { running: true }, 'ok', /^the maps use up to [^;]*; [^;]*$/, /^$/],
	[
		'locked memory',
		memory(gib),
		{},
		{ countsLocked: true },
		'warn',
		/; the limit on locked memory is 64 KiB$/,
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
	const finding = memoryCheck(has, values(settings), running, {
		memoryAccounting: countsLocked ? 'EINVAL' : '',
	});
	expect(finding).toMatchObject({ name: 'memory', state, found: expect.stringMatching(found) });
	expect(finding.advice ?? '').toMatch(advice);
});
