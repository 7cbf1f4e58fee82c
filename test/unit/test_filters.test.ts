// SPDX-License-Identifier: Apache-2.0
/** `npm test -- FILTER`: the name of a suite is that suite, and any other filter a part of the path. */
import { globSync } from 'node:fs';
import { expect, it } from 'vitest';
import { pathPart } from '../../scripts/test_filters.ts';
import { dailyKernels } from '../vm/plans.ts';

const files = globSync('test/{unit,host}/**/*.test.ts', { cwd: new URL('../..', import.meta.url) });
const taken = (filter: string) => files.filter((file) => file.includes(pathPart(filter)));

it.each(['unit', 'host'])('%s takes all of its directory, and nothing else', (suite) => {
	// there are files of other directories with this word in their names, but for `host`
	expect(taken(suite)).toEqual(files.filter((file) => file.startsWith(`test/${suite}/`)));
	expect(taken(suite).length).toBeGreaterThan(0);
	expect(dailyKernels([pathPart(suite)])).toEqual([]);
});

it('vm takes the guests', () => {
	expect(taken('vm')).toEqual([]);
	expect(dailyKernels([pathPart('vm')])).toEqual(dailyKernels([]));
});

it('takes any other filter for a part of the path', () => {
	expect(taken('systemd_unit')).toEqual(
		['test/unit/systemd_unit.test.ts', 'test/host/systemd_unit.test.ts']
			.filter((file) => files.includes(file))
			.toSorted((a, b) => files.indexOf(a) - files.indexOf(b)),
	);
	expect(pathPart('unit/store')).toBe('unit/store');
	expect(pathPart('vm/6.1')).toBe('vm/6.1');
});
