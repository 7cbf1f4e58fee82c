// SPDX-License-Identifier: Apache-2.0
/**
 * How refusals by the kernel are reported; those that the running kernel can produce are in
 * test/host/unsupported_hosts.test.ts.
 */
import { expect, test } from 'vitest';
import { lockedLimit, type ProcessLimits, toOperatorError } from '../../../daemon/capture/bpf_errors.ts';
import { defaultConfig } from '../../../daemon/config/load.ts';
import { ToascopeError } from '../../../daemon/errors.ts';

const roomy: ProcessLimits = { lockedBytes: undefined, inUserNamespace: false };
const tight: ProcessLimits = { lockedBytes: 64 * 1024, inUserNamespace: false };

/** An error as the addon throws it. */
const refusal = (code: string, log?: string) =>
	Object.assign(new Error('load toascope.bpf.o: Refused'), { code, errno: 1, op: 'load', target: 'x', log });
const noMap = (map: string) => `libbpf: map '${map}': failed to create: -1\nlibbpf: failed to load object`;
const trivial = "libbpf: Error in bpf_object__probe_loading(): Couldn't load trivial BPF program.";

test.each<[string, Error, ProcessLimits, object]>([
	[
		'a map above the locked-memory limit, before 5.11',
		refusal('EPERM', noMap('clients')),
		tight,
		{
			code: 'NO_MEMORY',
			message: 'the kernel refuses the map clients: the limit on locked memory is 64 KiB',
			hint: expect.stringContaining('LimitMEMLOCK=infinity'),
		},
	],
	[
		'a map that is refused for a reason other than memory',
		refusal('EPERM', noMap('clients')),
		roomy,
		{ code: 'BPF_FAILED', hint: expect.stringContaining('security module') },
	],
	[
		'every program is refused, before 5.11',
		refusal('EPERM', trivial),
		tight,
		{ code: 'NO_PRIVILEGE', hint: expect.stringMatching(/seccomp.*LimitMEMLOCK=infinity$/) },
	],
	[
		'every program is refused',
		refusal('EPERM', trivial),
		roomy,
		{ code: 'NO_PRIVILEGE', hint: expect.stringMatching(/seccomp filter, a security module or lockdown .*here$/) },
	],
	[
		'every program is refused, in a user namespace',
		refusal('EPERM', trivial),
		{ ...tight, inUserNamespace: true },
		{ code: 'NO_PRIVILEGE', message: expect.stringContaining('user namespace') },
	],
	[
		'no memory for a map without a configuration key',
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
		"the verifier's log, kept out of the message",
		refusal('EINVAL', 'one\ntwo'),
		roomy,
		{ code: 'BPF_FAILED', message: 'load toascope.bpf.o: Refused (EINVAL)', detail: 'one\ntwo' },
	],
])('reports %s', (_what, error, limits, expected) => {
	const reported = toOperatorError(error, defaultConfig(), limits);
	expect(reported).toBeInstanceOf(ToascopeError);
	expect(reported).toMatchObject({ ...expected, cause: error });
	const { message, hint } = reported as ToascopeError;
	expect(`${message}${hint}`).not.toContain('\n');
});

test('other errors are returned unchanged', () => {
	for (const error of [new TypeError('x'), new RangeError('Invalid string length'), new ToascopeError('USAGE', 'x')]) {
		expect(toOperatorError(error, defaultConfig(), roomy)).toBe(error);
	}
});

test("reads this process's locked-memory limit", () => {
	expect([undefined, expect.any(Number)]).toContainEqual(lockedLimit());
});
