// SPDX-License-Identifier: Apache-2.0
/** Removes secrets from texts that are shown. */

/** A URL without its user name and password, and without its query; any other text unchanged. */
export function withoutSecrets(text: string): string {
	const url = URL.parse(text);
	if (url === null || (url.username === '' && url.password === '' && url.search === '')) return text;
	url.username = '';
	url.password = '';
	url.search = '';
	return url.href;
}
