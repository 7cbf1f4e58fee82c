// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run test:vm [-- --kernel NAME] [--times N] [--tests FILTER]`: builds toa.ko for each kernel
 * of the matrix, boots it and runs the tests in it. --times: how often the module is loaded and
 * unloaded under traffic (default: 200, or the number in the kernel's row). --tests: only the tests
 * of test/host and test/vm/guest whose paths contain FILTER. Exit code 0: all passed, 1: not all
 * passed, 2: wrong usage.
 */
import { parseArgs } from 'node:util';
import { printLastLine, printSkips, printTable } from '../../scripts/summary.ts';
import { type Kernel, kernels, type Work } from './kernels.ts';
import type { Plan } from './matrix.ts';
import { allTests } from './plans.ts';
import { testGuests } from './suites.ts';

function usage(problem: string): never {
	const names = kernels.map(({ name }) => name).join('|');
	console.error(`${problem}; usage: npm run test:vm [-- --kernel ${names}] [--times N] [--tests FILTER]`);
	process.exit(2);
}

function readArguments() {
	try {
		return parseArgs({
			options: {
				kernel: { type: 'string', multiple: true },
				times: { type: 'string' },
				tests: { type: 'string', multiple: true },
			},
		}).values;
	} catch (error) {
		// the further sentences of the message are for programmers
		return usage((error as Error).message.replace(/\. .*/s, ''));
	}
}

function chosen(): { kernels: readonly Kernel[]; plan: Plan } {
	const values = readArguments();
	const given = values.times ?? (values.tests === undefined ? undefined : '0');
	const times = given === undefined ? undefined : Number(given);
	if (times !== undefined && (!Number.isInteger(times) || times < 0)) {
		usage(`--times must be a whole number, not ${values.times}`);
	}
	const unknown = values.kernel?.find((name) => !kernels.some((kernel) => kernel.name === name));
	if (unknown !== undefined) usage(`no kernel ${unknown} in the matrix`);
	const { tests } = values;
	const narrowed = (only: Work) => ({ times: only.times && (times ?? only.times), tests: tests ?? only.tests });
	const asked = kernels.filter(({ name }) => values.kernel?.includes(name) ?? true);
	return {
		kernels: asked.map((kernel) => (kernel.only === undefined ? kernel : { ...kernel, only: narrowed(kernel.only) })),
		plan: { ...allTests, times: times ?? 200, tests: tests ?? allTests.tests },
	};
}

const { kernels: matrix, plan } = chosen();
const suites = await testGuests(matrix, plan);
printTable(suites);
printSkips(suites);
process.exitCode = printLastLine(suites);
