// SPDX-License-Identifier: Apache-2.0
/**
 * Three suites: `unit` needs no privilege; `host` works on the running kernel as root, one file after the other; `guest` does so
 * in guests alone, with toa.ko (test/vm).
 */
import { defineConfig } from 'vitest/config';
import { hasModule } from './test/fixtures/module_file.ts';
import { patient } from './test/fixtures/patience.ts';

const onThisKernel = (name: string, files: string, exclude: string[] = []) => ({
	test: {
		name,
		include: [files],
		exclude,
		testTimeout: patient(120_000),
		hookTimeout: patient(120_000),
		fileParallelism: false,
		sequence: { groupOrder: 1 },
	},
});

export default defineConfig({
	test: {
		projects: [
			{
				test: {
					name: 'unit',
					include: ['test/unit/**/*.test.ts'],
					testTimeout: patient(20_000),
					hookTimeout: patient(60_000),
					sequence: { groupOrder: 0 },
				},
			},
			onThisKernel('host', 'test/host/**/*.test.ts'),
			onThisKernel(
				'guest',
				'test/vm/guest/**/*.test.ts',
				hasModule ? [] : ['test/vm/guest/{identical,module_*}.test.ts'],
			),
		],
	},
});
