// SPDX-License-Identifier: Apache-2.0
/** `npm test -- FILTER`: a suite's name selects that suite, any other filter a part of paths. */
import { globSync } from 'node:fs';
import { expect, it } from 'vitest';
import { pathPart } from '../../../scripts/test_filters.ts';
import { dailyKernels } from '../../vm/plans.ts';

const files = globSync('test/{unit,host}/**/*.test.ts', { cwd: new URL('../../..', import.meta.url) });
const selected = (filter: string) => files.filter((file) => file.includes(pathPart(filter)));

it.each(['unit', 'host'])('%s selects all of its directory, and nothing else', (suite) => {
	// except for `host`, files in other directories also have this word in their names
	expect(selected(suite)).toEqual(files.filter((file) => file.startsWith(`test/${suite}/`)));
	expect(selected(suite).length).toBeGreaterThan(0);
	expect(dailyKernels([pathPart(suite)])).toEqual([]);
});

it('vm selects the guests', () => {
	expect(selected('vm')).toEqual([]);
	expect(dailyKernels([pathPart('vm')])).toEqual(dailyKernels([]));
});

it('uses any other filter as a part of the path', () => {
	expect(selected('systemd_unit')).toEqual(
		['test/unit/deploy/systemd_unit.test.ts', 'test/host/systemd_unit.test.ts']
			.filter((file) => files.includes(file))
			.toSorted((a, b) => files.indexOf(a) - files.indexOf(b)),
	);
	expect(pathPart('unit/store')).toBe('unit/store');
	expect(pathPart('vm/6.1')).toBe('vm/6.1');
});
