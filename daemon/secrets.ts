// SPDX-License-Identifier: Apache-2.0
/** Removes secrets from texts that are shown. */

/** A URL without its user name and password; any other text unchanged. */
export function withoutPassword(text: string): string {
	const url = URL.parse(text);
	if (url === null || (url.username === '' && url.password === '')) return text;
	url.username = '';
	url.password = '';
	return url.href;
}
