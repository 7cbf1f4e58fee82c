// SPDX-License-Identifier: Apache-2.0
/** The headers of otel.headers_file: secrets that stay out of the environment and of the log. */
import { readFileSync, statSync } from 'node:fs';
import { ToascopeError } from '../../errors.ts';

/** What HTTP and gRPC can both send; gRPC takes names that end with `-bin` for binary headers. */
const validName = /^(?!.*-bin$)[\w.-]+$/i;
const validValue = /^[\x20-\x7e]*$/;

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
	 * The headers; the same object until the file changes, as it does when a token is replaced.
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
			if (rest.length === 0 || !validName.test(name) || !validValue.test(value)) {
				// without the text: it can be a secret
				throw new ToascopeError('CONFIG_INVALID', `otel.headers_file: line ${index + 1} is not a header`, {
					hint: 'write one NAME: VALUE a line, in printable ASCII',
				});
			}
			headers[name.toLowerCase()] = value;
		}
		return headers;
	}
}
