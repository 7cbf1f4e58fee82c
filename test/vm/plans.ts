// SPDX-License-Identifier: Apache-2.0
/** What runs in guests: everything, and the part that `npm test` has time for. */
import { release } from 'node:os';
import { type Kernel, kernels } from './kernels.ts';
import type { Plan } from './matrix.ts';

/** Everything, on each kernel. */
export const allTests: Plan = {
	times: 200,
	tests: ['test/host/', 'test/vm/guest/'],
	testsOf: {
		'5.10-confidentiality': ['host/contract_getpeername'],
		'6.1-confidentiality': ['host/contract_getpeername', 'host/contract_getsockopt', 'host/metrics'],
		'6.12-confidentiality': ['host/contract_getpeername'],
		'newest-confidentiality': ['host/contract_getpeername'],
	},
	limitSeconds: 4 * 3600,
	allSeconds: 24 * 3600,
};

/**
 * `npm test`: on most kernels, applications with either provider. A daemon's start takes half a minute
 * in a guest, and the guests share two processors with the tests on this kernel.
 */
export const dailyPlan: Plan = {
	times: 4,
	tests: ['guest/real_clients'],
	// between the oldest and the newest kernel, and the one of this machine
	moduleOnly: ['6.1-rt', '6.12'],
	limitSeconds: 2400,
	allSeconds: 4500,
};

/**
 * The kernels of `npm test -- FILTER...`. The kernel that this machine runs is included only by its
 * name: all tests of test/host run on it anyway.
 */
export function dailyKernels(filters: readonly string[]): readonly Kernel[] {
	const isHostKernel = ({ name }: Kernel) => process.getuid?.() === 0 && release().startsWith(`${name}.`);
	const isSelected = (kernel: Kernel) =>
		(filters.length === 0 || filters.some((filter) => `test/vm/${kernel.name}`.includes(filter))) &&
		(!isHostKernel(kernel) || filters.some((filter) => filter.includes(kernel.name)));
	return kernels.filter((kernel) => kernel.daily && isSelected(kernel));
}
