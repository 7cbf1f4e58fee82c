// SPDX-License-Identifier: Apache-2.0
/** The tests in guests, as suites of the summary. */
import type { Suite } from '../../scripts/summary.ts';
import type { Kernel } from './kernels.ts';
import { type KernelReport, missingRequirement, type Plan, runMatrix } from './matrix.ts';

function suitesOf({ kernel, release, steps, problems, skipped, seconds }: KernelReport): Suite[] {
	const name = `test/vm/${kernel.name}`;
	if (skipped !== undefined) return [{ name, passed: 0, failed: 0, skips: [`the whole guest: ${skipped}`], seconds }];
	const suites: Suite[] = steps.map(({ name: step, passed, failures, skips, seconds: took }) => ({
		name: `${name} ${step}`,
		passed,
		failed: failures.length,
		skips,
		seconds: took,
	}));
	const whole = `${name} (${release})`;
	const skips = kernel.build === 'nowhere' ? ['all tests of toa.ko: the kernel has no headers to build it with'] : [];
	return [...suites, { name: whole, passed: 0, failed: problems.length > 0 ? 1 : 0, skips, seconds }];
}

/**
 * Runs the guests, and prints their progress and what failed. `otherTests`: until it has resolved,
 * other tests need a processor of this machine.
 */
export async function testGuests(
	kernels: readonly Kernel[],
	plan: Plan,
	otherTests: Promise<unknown> = Promise.resolve(),
): Promise<Suite[]> {
	const skipped: KernelReport[] = [];
	const able = kernels.filter((kernel) => {
		const lack = missingRequirement(kernel.architecture);
		if (lack === undefined) return true;
		console.log(`!! ${lack}: the guest ${kernel.name} (test/vm) does not run.`);
		skipped.push({ kernel, steps: [], problems: [], skipped: lack, seconds: 0 });
		return false;
	});
	const ran = able.length === 0 ? [] : await runMatrix(able, plan, (line) => console.log(line), otherTests);
	const reports = kernels.flatMap((kernel) => [...ran, ...skipped].filter((report) => report.kernel === kernel));
	for (const { kernel, steps, problems } of reports) {
		for (const { name, failures } of steps) {
			for (const failure of failures) console.log(`FAILED test/vm/${kernel.name} ${name} > ${failure}`);
		}
		for (const problem of problems) console.log(`FAILED test/vm/${kernel.name}: ${problem}`);
	}
	return reports.flatMap(suitesOf);
}
