// SPDX-License-Identifier: Apache-2.0
/** The headers of otel.headers_file: secrets that stay out of the environment and of the log. */
import { readFileSync, statSync } from 'node:fs';
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { ToascopeError } from '../../errors.ts';

export class HeadersFile {
	readonly #path: string;
	#readAt = '';
	#headers: Readonly<Record<string, string>> = {};

	/** @throws {ToascopeError} as read() does */
	constructor(path: string) {
		this.#path = path;
		this.read();
	}

	/**
	 * The headers, read anew if the file has changed: a token that expires is replaced in the file.
	 * @throws {ToascopeError} CONFIG_INVALID if the file cannot be read or a line is not a header
	 */
	read(): Readonly<Record<string, string>> {
		try {
			const { mtimeNs, ino } = statSync(this.#path, { bigint: true });
			const version = `${ino} ${mtimeNs}`;
			if (version !== this.#readAt) {
				this.#headers = this.#parse(readFileSync(this.#path, 'utf8'));
				this.#readAt = version;
			}
		} catch (error) {
			if (error instanceof ToascopeError) throw error;
			throw new ToascopeError('CONFIG_INVALID', `otel.headers_file cannot be read: ${(error as Error).message}`, {
				cause: error,
			});
		}
		return this.#headers;
	}

	#parse(text: string): Record<string, string> {
		const headers: Record<string, string> = {};
		for (const [index, raw] of text.split('\n').entries()) {
			const line = raw.trim();
			if (line === '' || line.startsWith('#')) continue;
			const [name = '', ...rest] = line.split(':');
			const value = rest.join(':').trim();
			try {
				if (rest.length === 0) throw new TypeError('no colon');
				validateHeaderName(name);
				validateHeaderValue(name, value);
			} catch {
				// without the text and the cause, which can have a secret
				throw new ToascopeError('CONFIG_INVALID', `otel.headers_file: line ${index + 1} is not a header`, {
					hint: 'write one NAME: VALUE a line',
				});
			}
			headers[name.toLowerCase()] = value;
		}
		return headers;
	}
}
