// SPDX-License-Identifier: Apache-2.0
/** What runs in guests: everything, and the part that `npm test` has time for. */
import { release } from 'node:os';
import { type Kernel, kernels } from './kernels.ts';
import type { Plan } from './matrix.ts';

/** Everything, on each kernel. */
export const allTests: Plan = {
	times: 200,
	tests: ['test/host/', 'test/vm/guest/'],
	testsOf: { '6.1-confidentiality': ['host/contract_getsockopt', 'host/metrics'] },
	limitSeconds: 4 * 3600,
	allSeconds: 24 * 3600,
};

/**
 * `npm test`: on each kernel, applications with either provider; on the kernels that differ most,
 * the tests that depend most on the kernel. A daemon's start takes some ten seconds in a guest, so
 * these are tests that start few daemons.
 */
export const dailyPlan: Plan = {
	times: 20,
	tests: ['guest/real_clients', 'host/contract_getpeername'],
	testsOf: {
		'5.10': ['host/contract_getsockopt', 'host/wire_vectors', 'host/compilers'],
		'6.1': ['host/wire_vectors'],
		'6.12': ['guest/identical', 'guest/module_copied', 'guest/detached', 'guest/memory_max'],
		'6.18': ['host/contract_getsockopt', 'host/wire_vectors'],
		newest: ['guest/identical', 'host/compilers'],
	},
	limitSeconds: 1200,
	allSeconds: 2400,
};

/**
 * The kernels of `npm test -- FILTER...`. The kernel that this machine runs is included only by its
 * name: all tests of test/host run on it anyway.
 */
export function dailyKernels(filters: readonly string[]): readonly Kernel[] {
	const isHere = ({ name }: Kernel) => process.getuid?.() === 0 && release().startsWith(`${name}.`);
	const isSelected = (kernel: Kernel) =>
		(filters.length === 0 || filters.some((filter) => `test/vm/${kernel.name}`.includes(filter))) &&
		(!isHere(kernel) || filters.some((filter) => filter.includes(kernel.name)));
	return kernels.filter((kernel) => kernel.daily && isSelected(kernel));
}
