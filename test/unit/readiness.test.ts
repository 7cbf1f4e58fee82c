// SPDX-License-Identifier: Apache-2.0
/** Reasons for not being ready: set and cleared by name, by whichever part knows. */
import { expect, it } from 'vitest';
import { Readiness } from '../../daemon/service/readiness.ts';

it('is ready when no reason is set', () => {
	expect(new Readiness().reasons).toEqual([]);
});

it('keeps each reason until it is cleared, the first one first', () => {
	const readiness = new Readiness();
	readiness.set('first', 'one');
	readiness.set('second', 'two');
	readiness.set('first', 'one, as it is now');
	expect(readiness.reasons).toEqual([
		{ reason: 'first', text: 'one, as it is now' },
		{ reason: 'second', text: 'two' },
	]);
	readiness.clear('first');
	readiness.clear('never set');
	expect(readiness.reasons).toEqual([{ reason: 'second', text: 'two' }]);
});
