// SPDX-License-Identifier: Apache-2.0
/** The stack of the BPF programs, as kernel 5.10 counts it: what the running kernel takes may be too much there. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { stackChains } from '../fixtures/bpf_stack.ts';

const object = join(import.meta.dirname, '../../build/bpf/toascope.bpf.o');

it('finds the functions that call each other', () => {
	const chains = stackChains(object);
	expect(chains.map(({ functions }) => functions.join(' '))).toContain(
		'toascope_sockops segment_arrived record_verdict begin_event',
	);
});

it('has no chain of more than 512 bytes', () => {
	expect(stackChains(object)[0]?.bytes).toBeLessThanOrEqual(512);
});
