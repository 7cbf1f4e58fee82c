// SPDX-License-Identifier: Apache-2.0
/**
 * The limits of the HTTP servers that are counted when they are exceeded, and what was done then.
 * docs/reference/metrics.md is generated from these texts.
 */
export const httpLimitMeanings = {
	connections: 'A new connection was closed at once: the limit was reached, and no other could be closed for it.',
	connections_idle: 'An idle connection was closed to make room for a new one.',
	pipelined: 'A connection was closed with 429: too many requests were waiting on it.',
	request_time: 'A connection was closed with 408: a request did not arrive in time.',
	header: 'A request was refused with 431: its headers were too large.',
	body: 'A request was refused with 413: its body or its batch was too large.',
	large_answers: 'A request was refused with 503: no slot for its large response became free in time.',
	large_answers_slowest: 'A large response was aborted to make room for another one: its reader was the slowest.',
	large_answer_time: 'A large response was aborted: it was not read within its time limit.',
	stalled: 'A response was aborted: nothing of it was read for too long.',
} as const;
