// SPDX-License-Identifier: Apache-2.0
/** Errors of the API: RFC 9457 problem details, with a stable `code` to match. */
import { isSystemError, ToascopeError } from '../errors.ts';

/** Not imported: an import of node:http evaluates all that it exports, a WebSocket client among it, 12 MB of memory. */
export const { STATUS_CODES } = process.getBuiltinModule('node:http');

export const problemType = 'application/problem+json';

/** What each status means here; no problem has another. */
export const problems = {
	400: 'The request is not one of HTTP/1.1, or a parameter or the body is wrong: `detail` says which, and what may stand there.',
	404: 'There is nothing at this path.',
	405: 'The path does not take this method; `allow` names those that it takes.',
	408: 'The request took longer than 10 s to arrive.',
	413: 'The body, or the batch, is too large.',
	415: 'The body is not `application/json`.',
	417: 'An `Expect` other than `100-continue`.',
	429: 'Too many requests wait on this connection, which ends.',
	431: 'Path and headers are too large.',
	500: 'An error inside toascope: the log has it (`a request failed`).',
	501: 'BPF is refused on this host, and `toa.ko` works alone: nothing is known of connections and clients.',
	503: 'Not ready: `detail` and the list `not_ready` give the reasons; the kernel refuses what was asked for at this time (`ENOMEM`); or too many large answers are on their way (`retry-after`).',
} as const;

export type ProblemStatus = keyof typeof problems;

export interface ProblemBody {
	readonly type: 'about:blank';
	readonly title: string;
	readonly status: ProblemStatus;
	readonly code: string;
	readonly detail: string;
	/** Members of its own (RFC 9457, section 3.2). */
	readonly [member: string]: unknown;
}

/** Ends a request with this status. `detail` is shown to the caller. */
export class HttpProblem extends Error {
	override readonly name = 'HttpProblem';
	readonly statusCode: ProblemStatus;
	/** Further members of the body, for programs. */
	readonly members: Readonly<Record<string, unknown>>;

	constructor(statusCode: ProblemStatus, detail: string, members: Readonly<Record<string, unknown>> = {}) {
		super(detail);
		this.statusCode = statusCode;
		this.members = members;
	}
}

/** The body for a status; without a `code` it is the status's name, as in `NOT_FOUND`. */
export function problemBody(status: ProblemStatus, detail: string, code = codeOf(status)): ProblemBody {
	const title = STATUS_CODES[status] ?? 'Error';
	return { type: 'about:blank', title, status, code, detail };
}

/** The status's name, as in `NOT_FOUND`. */
export function codeOf(status: ProblemStatus): string {
	return (STATUS_CODES[status] ?? 'Error').toUpperCase().replaceAll(/\W+/g, '_');
}

/** What a caller is told of an error. One that is not the caller's is told without its message. */
export function problemOf(error: unknown): ProblemBody {
	if (error instanceof ToascopeError && error.code === 'BAD_ADDRESS') {
		const hint = error.hint === undefined ? '' : `; ${error.hint}`;
		return problemBody(400, `${error.message}${hint}`, error.code);
	}
	const { statusCode: status, message } = error as { statusCode?: unknown; message?: unknown };
	if (error instanceof HttpProblem) return { ...problemBody(error.statusCode, error.message), ...error.members };
	if (status === 415) return problemBody(status, 'the body must be JSON, sent with content-type: application/json');
	if (isCallers(status)) return problemBody(status, String(message));
	if (isSystemError(error))
		return problemBody(503, `the kernel refuses it at this time (${error.code}): ask again later`);
	return problemBody(500, 'an error inside toascope; its log says more');
}

/** Of the framework: what the caller did wrong. */
function isCallers(status: unknown): status is ProblemStatus {
	return typeof status === 'number' && status < 500 && status in problems;
}
