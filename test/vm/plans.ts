// SPDX-License-Identifier: Apache-2.0
/** What runs in guests: all of it, and what `npm test` has time for. */
import { type Kernel, kernels } from './kernels.ts';
import type { Plan } from './matrix.ts';

/** Everything, on each kernel. */
export const allTests: Plan = { times: 200, tests: ['test/host/', 'test/vm/guest/'], limitSeconds: 4 * 3600 };

/** The host tests of `npm test`: those that depend most on the kernel, for the seconds that they take in a guest. */
export const dailyPlan: Plan = {
	times: 20,
	tests: ['host/section5_getsockopt', 'host/section5_getpeername', 'host/metrics', 'host/restart', 'host/wire_vectors'],
	limitSeconds: 1200,
};

/** The kernels of `npm test -- FILTER...`. */
export function dailyKernels(filters: readonly string[]): readonly Kernel[] {
	const asked = ({ name }: Kernel) =>
		filters.length === 0 || filters.some((filter) => `test/vm/${name}`.includes(filter));
	return kernels.filter((kernel) => kernel.daily && asked(kernel));
}
