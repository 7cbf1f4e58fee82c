// SPDX-License-Identifier: Apache-2.0
/** What may be shown to whoever looks. */

/** A URL without user and password; any other text as it is. */
export function withoutPassword(text: string): string {
	const url = URL.parse(text);
	if (url === null || (url.username === '' && url.password === '')) return text;
	url.username = '';
	url.password = '';
	return url.href;
}
