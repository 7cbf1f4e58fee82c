// SPDX-License-Identifier: Apache-2.0
/** Errors of the API: RFC 9457 problem details, with a stable `code` to match on. */
import { isSystemError, ToascopeError } from '../errors.ts';

/**
 * Not imported: an import of node:http evaluates all of its exports, among them a WebSocket client,
 * and needs 12 MB of memory.
 */
export const { STATUS_CODES } = process.getBuiltinModule('node:http');

export const problemType = 'application/problem+json';

/** Meaning of each status in this API. No problem has any other status. */
export const problemMeanings = {
	400: 'The request is not valid HTTP/1.1, or a parameter or the body is wrong: `detail` says which, and what is allowed.',
	404: 'The path does not exist.',
	405: 'The path does not accept this method; the `allow` header lists those that it accepts.',
	408: 'The request took longer than 10 s to arrive.',
	413: 'The body or the batch is too large.',
	415: 'The body is not `application/json`.',
	417: 'The `Expect` header is not `100-continue`.',
	429: 'Too many requests are pending on this connection; it is closed.',
	431: 'The path and the headers are too large.',
	500: 'Internal error; the log has the details (`a request failed`).',
	501: 'BPF is refused on this host and only `toa.ko` is in use: connections and clients are not known.',
	503: 'Not ready: `detail` and the list `not_ready` give the reasons. Or the kernel has temporarily refused the operation (`ENOMEM`). Or too many large responses are in progress (`retry-after`).',
} as const;

export type ProblemStatus = keyof typeof problemMeanings;

export interface ProblemBody {
	readonly type: 'about:blank';
	readonly title: string;
	readonly status: ProblemStatus;
	readonly code: string;
	readonly detail: string;
	/** Extension members (RFC 9457, section 3.2). */
	readonly [member: string]: unknown;
}

/** Ends a request with this status. The caller receives `detail`. */
export class HttpProblem extends Error {
	override readonly name = 'HttpProblem';
	readonly statusCode: ProblemStatus;
	/** Extension members of the body, for programs. */
	readonly members: Readonly<Record<string, unknown>>;

	constructor(statusCode: ProblemStatus, detail: string, members: Readonly<Record<string, unknown>> = {}) {
		super(detail);
		this.statusCode = statusCode;
		this.members = members;
	}
}

/** The body for a status. `code` defaults to the name of the status, such as `NOT_FOUND`. */
export function problemBody(status: ProblemStatus, detail: string, code = codeOf(status)): ProblemBody {
	const title = STATUS_CODES[status] ?? 'Error';
	return { type: 'about:blank', title, status, code, detail };
}

/** The name of a status, such as `NOT_FOUND`. */
export function codeOf(status: ProblemStatus): string {
	return (STATUS_CODES[status] ?? 'Error').toUpperCase().replaceAll(/\W+/g, '_');
}

/**
 * The problem document for an error. The message of an error that the caller did not cause is not
 * disclosed.
 */
export function problemOf(error: unknown): ProblemBody {
	if (error instanceof ToascopeError && error.code === 'BAD_ADDRESS') {
		const hint = error.hint === undefined ? '' : `; ${error.hint}`;
		return problemBody(400, `${error.message}${hint}`, error.code);
	}
	const { statusCode: status, message } = error as { statusCode?: unknown; message?: unknown };
	if (error instanceof HttpProblem) return { ...problemBody(error.statusCode, error.message), ...error.members };
	if (status === 415) return problemBody(status, 'the body must be JSON, sent with content-type: application/json');
	if (isCallerError(status)) return problemBody(status, String(message));
	if (isSystemError(error))
		return problemBody(503, `the kernel has refused the operation (${error.code}); retry later`);
	return problemBody(500, 'internal error; see the log of toascope');
}

/** Whether the caller caused an error of Fastify with this status. */
function isCallerError(status: unknown): status is ProblemStatus {
	return typeof status === 'number' && status < 500 && status in problemMeanings;
}
