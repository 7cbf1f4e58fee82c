// SPDX-License-Identifier: Apache-2.0
/** How toascope is called here: in the source tree `npm run toascope --` replaces `toascope`. */

const inSourceTree = import.meta.filename.endsWith('.ts');

const call = /(?<!npm run )\btoascope (?=(?:run|demo|doctor|lookup|detach|reload|module|config)\b)/g;

/** A text for operators, in which each command is written as it must be typed here. */
export function asInvoked(text: string, source: boolean = inSourceTree): string {
	return source ? text.replaceAll(call, 'npm run toascope -- ') : text;
}
