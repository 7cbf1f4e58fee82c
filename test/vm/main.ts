// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run test:vm [-- --kernel NAME] [--times N]`: builds toa.ko for each kernel of the matrix, boots it and runs the tests in
 * it. --times: how often the module is loaded and unloaded under traffic (200). Exit code 0: all passed, 1: not, 2: wrong usage.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildModule, buildPrograms } from './build.ts';
import { runGuest } from './guest.ts';
import { type Kernel, kernels } from './kernels.ts';
import { fetchKernel } from './packages.ts';
import { vectorLines } from './vectors.ts';

const work = join(import.meta.dirname, '../../build/vm');
const limitSeconds = 900;

function usage(problem: string): never {
	console.error(
		`${problem}\nusage: npm run test:vm [-- --kernel ${kernels.map(({ name }) => name).join('|')}] [--times N]`,
	);
	process.exit(2);
}

function chosen(): { kernels: readonly Kernel[]; times: number } {
	const { values } = parseArgs({ options: { kernel: { type: 'string', multiple: true }, times: { type: 'string' } } });
	const times = Number(values.times ?? 200);
	if (!Number.isInteger(times) || times < 1) usage(`--times must be a whole number, not ${values.times}`);
	const unknown = values.kernel?.find((name) => !kernels.some((kernel) => kernel.name === name));
	if (unknown !== undefined) usage(`no kernel ${unknown} in the matrix`);
	return { kernels: kernels.filter(({ name }) => values.kernel?.includes(name) ?? true), times };
}

/** Whether it passed. */
async function test(kernel: Kernel, programs: string, times: number): Promise<boolean> {
	const directory = join(work, kernel.name);
	mkdirSync(directory, { recursive: true });
	console.log(`${kernel.name}:`);
	try {
		const fetched = await fetchKernel(kernel);
		const module = await buildModule(kernel, fetched, join(directory, 'module'));
		console.log(`    toa.ko built for ${fetched.release}, no warning`);
		const { passed, why, log, seconds } = await runGuest({ fetched, module, programs, times, directory, limitSeconds });
		console.log(`${kernel.name}: ${passed ? 'passed' : 'failed'} (${seconds.toFixed(0)} s)`);
		for (const line of why) console.log(`    ${line}`);
		if (!passed) console.log(`    the serial log: ${log}`);
		return passed;
	} catch (error) {
		console.log(`${kernel.name}: failed\n${(error as Error).message.replace(/^/gm, '    ')}`);
		return false;
	}
}

const { kernels: matrix, times } = chosen();
const programs = join(work, 'programs');
await buildPrograms(programs);
writeFileSync(join(programs, 'vectors'), vectorLines());
let failed = 0;
for (const kernel of matrix) if (!(await test(kernel, programs, times))) failed++;
console.log(`${matrix.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
