// SPDX-License-Identifier: Apache-2.0
/** Limits of the HTTP servers whose exceeding is counted: docs/reference/metrics.md is made of them. */
export const httpLimitMeanings = {
	connections: 'A connection was closed at once: there were as many as there may be, and none made room.',
	connections_idle: 'An idle connection was closed, to make room for a new one.',
	pipelined: 'A connection ended with 429: more requests than may wait on it.',
	request_time: 'A connection ended with 408: a request did not arrive in time.',
	header: 'A request was refused with 431: its header was too large.',
	body: 'A request was refused with 413: its body, or the batch, was too large.',
	large_answers: 'A request was refused with 503: it waited for a place for its large answer for too long.',
	large_answers_slowest: 'A large answer was broken off, to make room for another one: its reader was the slowest.',
	large_answer_time: 'A large answer was broken off: it was not read in its time.',
	stalled: 'An answer was broken off: nothing of it was read for too long.',
} as const;
