// SPDX-License-Identifier: Apache-2.0
/**
 * The vectors against kernel/toa_option.h, compiled for user space, and against the fuzzers'
 * reference parser.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Build, compileFuzzer, readLists } from '../../fuzz/programs.ts';
import { allVectors } from '../../kit/model/vectors.ts';

const builds: readonly Build[] = [
	{ compiler: 'cc', sanitizers: ['address', 'undefined'] },
	// the compiler of the BPF programs
	{ compiler: 'clang', sanitizers: [] },
];
const vectors = allVectors();
const folder = mkdtempSync(join(tmpdir(), 'toascope-parser-'));

afterAll(() => rmSync(folder, { recursive: true }));

it('all vectors have different names', () => {
	expect(new Set(vectors.map(({ name }) => name)).size).toBe(vectors.length);
});

describe.each(builds)('compiled by $compiler, sanitizers: $sanitizers', (build) => {
	const program = join(folder, `lists-${build.compiler}`);

	beforeAll(() => {
		compileFuzzer('lists', program, build);
	});

	it.each(vectors)('$name', ({ segment, options, profiles, expect: expected }) => {
		const verdicts = readLists(program, profiles, [options], segment);
		expect(verdicts).toEqual([{ parser: expected, reference: expected }]);
	});
});
