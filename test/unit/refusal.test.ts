// SPDX-License-Identifier: Apache-2.0
/** What the kernel's refusals are told as; those that this kernel can show are in test/host/wrong_hosts.test.ts. */
import { expect, test } from 'vitest';
import { type Allowance, explain, lockedLimit } from '../../daemon/capture/refusal.ts';
import { defaultConfig } from '../../daemon/config/load.ts';
import { ToascopeError } from '../../daemon/errors.ts';

const roomy: Allowance = { lockedBytes: undefined, inUserNamespace: false };
const tight: Allowance = { lockedBytes: 64 * 1024, inUserNamespace: false };

/** An error as the addon throws it. */
const refusal = (code: string, log?: string) =>
	Object.assign(new Error('load toascope.bpf.o: Refused'), { code, errno: 1, op: 'load', target: 'x', log });
const noMap = (map: string) => `libbpf: map '${map}': failed to create: -1\nlibbpf: failed to load object`;
const trivial = "libbpf: Error in bpf_object__probe_loading(): Couldn't load trivial BPF program.";

test.each<[string, Error, Allowance, object]>([
	[
		'a map above the limit of locked memory, before 5.11',
		refusal('EPERM', noMap('clients')),
		tight,
		{
			code: 'NO_MEMORY',
			message: 'the kernel refuses the map clients: at most 64 KiB may be locked',
			hint: expect.stringContaining('LimitMEMLOCK=infinity'),
		},
	],
	[
		'a map that is refused though memory is not the reason',
		refusal('EPERM', noMap('clients')),
		roomy,
		{ code: 'BPF_FAILED', hint: expect.stringContaining('security module') },
	],
	[
		'no program at all, before 5.11',
		refusal('EPERM', trivial),
		tight,
		{ code: 'NO_PRIVILEGE', hint: expect.stringMatching(/seccomp.*LimitMEMLOCK=infinity$/) },
	],
	[
		'no program at all',
		refusal('EPERM', trivial),
		roomy,
		{ code: 'NO_PRIVILEGE', hint: expect.stringMatching(/seccomp filter, a security module or lockdown .*here$/) },
	],
	[
		'no program at all, in a user namespace',
		refusal('EPERM', trivial),
		{ ...tight, inUserNamespace: true },
		{ code: 'NO_PRIVILEGE', message: expect.stringContaining('user namespace') },
	],
	[
		'no memory for a map that has no key',
		refusal('ENOMEM', noMap('trust')),
		roomy,
		{ code: 'NO_MEMORY', hint: expect.stringMatching(/^lower clients.capacity, connections.max or bpf.ring_bytes;/) },
	],
	[
		'no memory for the ring',
		refusal('ENOMEM', noMap('ring')),
		roomy,
		{ code: 'NO_MEMORY', message: expect.stringContaining('bpf.ring_bytes (4194304)') },
	],
	[
		'what the verifier says: in lines of its own',
		refusal('EINVAL', 'one\ntwo'),
		roomy,
		{ code: 'BPF_FAILED', message: 'load toascope.bpf.o: Refused (EINVAL)', detail: 'one\ntwo' },
	],
])('%s', (_what, error, allowance, expected) => {
	const told = explain(error, defaultConfig(), allowance);
	expect(told).toBeInstanceOf(ToascopeError);
	expect(told).toMatchObject({ ...expected, cause: error });
	const { message, hint } = told as ToascopeError;
	expect(`${message}${hint}`).not.toContain('\n');
});

test('other errors are as they were', () => {
	for (const error of [new TypeError('x'), new RangeError('Invalid string length'), new ToascopeError('USAGE', 'x')]) {
		expect(explain(error, defaultConfig(), roomy)).toBe(error);
	}
});

test("this process's limit of locked memory is read", () => {
	expect([undefined, expect.any(Number)]).toContainEqual(lockedLimit());
});
