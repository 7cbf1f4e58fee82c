// SPDX-License-Identifier: Apache-2.0
/** Errors of the API: RFC 9457 problem details, with a stable `code` to match. */
import { STATUS_CODES } from 'node:http';
import { ToascopeError } from '../errors.ts';

export const problemType = 'application/problem+json';

export interface ProblemBody {
	readonly type: 'about:blank';
	readonly title: string;
	readonly status: number;
	readonly code: string;
	readonly detail: string;
}

/** Ends a request with this status. `detail` is shown to the caller. */
export class HttpProblem extends Error {
	override readonly name = 'HttpProblem';
	readonly statusCode: number;

	constructor(statusCode: number, detail: string) {
		super(detail);
		this.statusCode = statusCode;
	}
}

/** The body for a status; without a `code` it is the status's name, as in `NOT_FOUND`. */
export function problemBody(status: number, detail: string, code?: string): ProblemBody {
	const title = STATUS_CODES[status] ?? 'Error';
	return {
		type: 'about:blank',
		title,
		status,
		code: code ?? title.toUpperCase().replaceAll(/\W+/g, '_'),
		detail,
	};
}

/** What a caller is told of an error. One that is not the caller's is told without its message. */
export function problemOf(error: unknown): ProblemBody {
	if (error instanceof ToascopeError && error.code === 'BAD_ADDRESS') {
		const hint = error.hint === undefined ? '' : `; ${error.hint}`;
		return problemBody(400, `${error.message}${hint}`, error.code);
	}
	const { statusCode: status, message } = error as { statusCode?: unknown; message?: unknown };
	if (error instanceof HttpProblem) return problemBody(error.statusCode, error.message);
	if (typeof status === 'number' && status >= 400 && status < 500) return problemBody(status, String(message));
	return problemBody(500, 'an error inside toascope; its log says more');
}
