// SPDX-License-Identifier: Apache-2.0
/** Settings for terminals in the environment. */

/** Whether colours are switched off: NO_COLOR is set and not empty (https://no-color.org). */
export function noColour(env: Readonly<Record<string, string | undefined>>): boolean {
	return (env.NO_COLOR ?? '') !== '';
}
