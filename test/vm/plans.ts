// SPDX-License-Identifier: Apache-2.0
/** What runs in guests: all of it, and what `npm test` has time for. */
import { release } from 'node:os';
import { type Kernel, kernels } from './kernels.ts';
import type { Plan } from './matrix.ts';

/** Everything, on each kernel. */
export const allTests: Plan = {
	times: 200,
	tests: ['test/host/', 'test/vm/guest/'],
	testsOf: { '6.1-confidentiality': ['host/section5_getsockopt', 'host/metrics'] },
	limitSeconds: 4 * 3600,
	allSeconds: 24 * 3600,
};

/**
 * `npm test`: on each kernel applications with either provider; what depends most on the kernel where kernels differ most. A
 * daemon's start takes some ten seconds in a guest, so these are the tests that start few of them.
 */
export const dailyPlan: Plan = {
	times: 20,
	tests: ['guest/real_clients', 'host/section5_getpeername'],
	testsOf: {
		'5.10': ['host/section5_getsockopt', 'host/wire_vectors', 'host/compilers'],
		'6.1': ['host/wire_vectors'],
		'6.12': ['guest/identical', 'guest/module_copied', 'guest/detached', 'guest/memory_max'],
		'6.18': ['host/section5_getsockopt', 'host/wire_vectors'],
		newest: ['guest/identical', 'host/compilers'],
	},
	limitSeconds: 1200,
	allSeconds: 2400,
};

/** The kernels of `npm test -- FILTER...`. That which runs here only by its name: all tests of test/host run on it anyway. */
export function dailyKernels(filters: readonly string[]): readonly Kernel[] {
	const isHere = ({ name }: Kernel) => process.getuid?.() === 0 && release().startsWith(`${name}.`);
	const asked = (kernel: Kernel) =>
		(filters.length === 0 || filters.some((filter) => `test/vm/${kernel.name}`.includes(filter))) &&
		(!isHere(kernel) || filters.some((filter) => filter.includes(kernel.name)));
	return kernels.filter((kernel) => kernel.daily && asked(kernel));
}
