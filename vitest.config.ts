// SPDX-License-Identifier: Apache-2.0
/**
 * Three suites: `unit` needs no privilege; `host` works on the running kernel as root, one file
 * after the other; `guest` does so only in guests, with toa.ko (test/vm).
 */
import { defineConfig } from 'vitest/config';
import { hasModule } from './test/kit/kernel/module_file.ts';
import { scaleTimeout } from './test/kit/timeouts.ts';

const onThisKernel = (name: string, files: string, exclude: string[] = []) => ({
	test: {
		name,
		include: [files],
		exclude,
		testTimeout: scaleTimeout(120_000),
		hookTimeout: scaleTimeout(120_000),
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
					testTimeout: scaleTimeout(20_000),
					hookTimeout: scaleTimeout(60_000),
					sequence: { groupOrder: 0 },
				},
			},
			onThisKernel('host', 'test/host/**/*.test.ts'),
			onThisKernel(
				'guest',
				'test/vm/guest/**/*.test.ts',
				hasModule ? [] : ['test/vm/guest/{provider_parity,module_*}.test.ts'],
			),
		],
	},
});
