// SPDX-License-Identifier: Apache-2.0
/** Output to terminals. */

/** Whether colours are switched off: NO_COLOR is set and not empty (https://no-color.org). */
export function noColour(env: Readonly<Record<string, string | undefined>>): boolean {
	return (env.NO_COLOR ?? '') !== '';
}

/**
 * Replaces control characters: text from outside, such as the name that a process chose for itself,
 * must not steer the terminal.
 */
export function printable(text: string): string {
	return text.replaceAll(/\p{C}/gu, '?');
}
