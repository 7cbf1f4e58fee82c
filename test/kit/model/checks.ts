// SPDX-License-Identifier: Apache-2.0
/** Inputs for the doctor's checks, and how to find one of them. */
import { fileValues, toConfig } from '../../../daemon/config/config.ts';
import { fileSchema } from '../../../daemon/config/schema.ts';
import type { Check } from '../../../daemon/doctor/check.ts';

export const config = (settings: object = {}) => toConfig(fileSchema.parse(settings), {});
export const values = (settings: object = {}) => fileValues(config(settings));

export function named(checks: readonly Check[], name: string): Check {
	const found = checks.find((each) => each.name === name);
	if (found === undefined) throw new Error(`no check ${name}`);
	return found;
}
