// SPDX-License-Identifier: Apache-2.0
/**
 * The stack of the BPF programs, as kernel 5.10 counts it: programs that the running kernel accepts
 * can exceed the limit there.
 */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { stackChains } from '../../kit/kernel/bpf_stack.ts';

const object = join(import.meta.dirname, '../../../build/bpf/toascope.bpf.o');

it('finds chains of functions that call each other', () => {
	const chains = stackChains(object);
	expect(chains.map(({ functions }) => functions.join(' '))).toContain(
		'toascope_sockops segment_arrived record_verdict begin_event',
	);
});

it('no call chain uses more than 512 bytes', () => {
	expect(stackChains(object)[0]?.bytes).toBeLessThanOrEqual(512);
});
