// SPDX-License-Identifier: Apache-2.0
/** How toascope is called here: the source tree has no command `toascope`, it has `npm run toascope --`. */

const inSourceTree = import.meta.filename.endsWith('.ts');

const call = /(?<!npm run )\btoascope (?=(?:run|demo|doctor|lookup|detach|reload|module|config)\b)/g;

/** Text for operators, with the commands in it as they are to be typed here. */
export function asTyped(text: string, source: boolean = inSourceTree): string {
	return source ? text.replaceAll(call, 'npm run toascope -- ') : text;
}
