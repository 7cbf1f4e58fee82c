// SPDX-License-Identifier: Apache-2.0
/** The shortest soak: everything happens at least twice. `npm run soak` is the long one. */
import { expect, test } from 'vitest';
import { scaleTimeout } from '../kit/timeouts.ts';
import { soak } from '../soak/soak.ts';

test('everything that happens to a daemon, at least twice', { timeout: scaleTimeout(400_000) }, async ({ signal }) => {
	const lines: string[] = [];
	const checks = await soak({ minutes: 1, seed: 1, say: (text) => lines.push(text), signal });
	expect(
		checks.filter(({ ok }) => !ok),
		lines.join('\n'),
	).toEqual([]);
	expect(checks.length).toBeGreaterThan(20);
});
