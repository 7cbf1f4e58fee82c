// SPDX-License-Identifier: Apache-2.0
/** The shortest soak: everything happens at least twice. `npm run soak` is the long one. */
import { expect, test } from 'vitest';
import { patient } from '../fixtures/patience.ts';
import { soak } from '../soak/soak.ts';

test('everything that happens to a daemon, at least twice', { timeout: patient(400_000) }, async ({ signal }) => {
	const said: string[] = [];
	const checks = await soak({ minutes: 1, seed: 1, say: (text) => said.push(text), signal });
	expect(
		checks.filter(({ ok }) => !ok),
		said.join('\n'),
	).toEqual([]);
	expect(checks.length).toBeGreaterThan(20);
});
