// SPDX-License-Identifier: Apache-2.0
/** BPF objects of the addon that do not outlive their test. */
import { afterEach, expect } from 'vitest';
import type { BpfObject, BpfOptions } from '../../../native/binding.ts';
import { openObjects, open as openSmall } from './addon_child.ts';

const opened: BpfObject[] = [];

/** Opens an object that is closed after the test. */
export function open(options: Partial<BpfOptions> = {}): BpfObject {
	const object = openSmall(options);
	opened.push(object);
	return object;
}

/** Call once per test file: objects that a failed test left open must not fail the next test. */
export function closeAfterEach(): void {
	afterEach(() => {
		for (const object of opened.splice(0)) object.close();
		expect(openObjects('map_id')).toBe(0);
	});
}
