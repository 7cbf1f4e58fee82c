// SPDX-License-Identifier: Apache-2.0
/** HTTP, and the file of the Unix socket. */
import type { LogLine } from '../log_line.ts';

export const httpLines = {
	httpNotListening: {
		level: 'error',
		text: 'HTTP cannot listen, retrying: programs stay attached and count',
		meaning:
			'`endpoint` is the key of the configuration, `err` says why. Logged at most once a minute for each cause; the daemon retries after 0.25 s, and then after up to 5 s. `/readyz` answers 503 at the other endpoint meanwhile, and `toascope_http_listen_failures_total` counts the attempts.',
		fields: ['endpoint', 'err', 'left_out'],
	},
	httpListening: {
		level: 'info',
		text: 'HTTP is listening now',
		meaning: 'The reason of the preceding `HTTP cannot listen` is gone.',
		fields: ['endpoint', 'at'],
	},
	httpCloseFailed: {
		level: 'warn',
		text: 'the previous HTTP server could not be closed',
		meaning:
			'Another process removed the socket of `endpoint`, and the daemon listens there again; connections to the previous server can stay open.',
		fields: ['endpoint', 'err'],
	},
	socketFileLost: {
		level: 'error',
		text: 'the file of the Unix socket is gone: the socket is created again',
		meaning:
			'`file`: `removed`, or `replaced` by a file of another process, which is not touched while a process answers there or if it is not a socket. Once the daemon listens there again, the log says so.',
		fields: ['socket', 'file'],
	},
	socketFileNotRemoved: {
		level: 'warn',
		text: 'the file of the Unix socket, or one of its directories, could not be removed',
		meaning: '`err` says why. The daemon stops as usual; the next one replaces the file.',
		fields: ['socket', 'err'],
	},
	httpLimitExceeded: {
		level: 'warn',
		text: 'an HTTP limit was exceeded: requests were refused, or connections closed',
		meaning:
			'At most once a minute for each limit; `toascope_http_limited_total` has the counts, and explains each limit. `caller`: an address, or `uid N` for a process of this host. To identify it: `ss -tnpe`, `ss -xnp`.',
		fields: ['limit', 'caller', 'left_out'],
	},
	requestFailed: {
		level: 'error',
		text: 'a request failed',
		meaning:
			'An HTTP request was answered with 500: report it; or with 503, where `err` comes from the kernel (`ENOMEM`). At most one line a minute for each cause.',
		fields: ['err', 'url', 'left_out'],
	},
} as const satisfies Record<string, LogLine>;
