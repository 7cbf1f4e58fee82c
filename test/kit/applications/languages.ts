// SPDX-License-Identifier: Apache-2.0
/**
 * Plain servers with the standard libraries of several languages (../apps), written without regard
 * to TOA.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Application, CommandOptions } from './application.ts';
import { versionOf } from './servers.ts';

const execute = promisify(execFile);
const apps = join(import.meta.dirname, '../apps');
const made = join(import.meta.dirname, '../../../build/test');

const script =
	(file: string) =>
	({ program, listener, port, log }: CommandOptions) => [
		program,
		join(apps, file),
		listener === 'AF_INET' ? '0.0.0.0' : '::',
		String(port),
		log,
	];

export const java: Application = {
	name: 'Java, HttpServer',
	program: 'javac',
	listens: { AF_INET: '`-Djava.net.preferIPv4Stack=true`', 'AF_INET6 dual-stack': 'the default' },
	logs: '`getRemoteAddress()`',
	logsUnmapped: true,
	version: (program) => versionOf(program, '-version'),
	command: async ({ program, listener, port, log, directory }) => {
		await execute(program, ['-d', directory, join(apps, 'PlainServer.java')]);
		const family = `-Djava.net.preferIPv4Stack=${listener === 'AF_INET'}`;
		return ['java', family, '-cp', directory, 'PlainServer', String(port), log];
	},
};

/** Compiled once: building net/http from scratch takes half a minute. */
let goServer: Promise<string> | undefined;

async function compileGo(program: string): Promise<string> {
	mkdirSync(made, { recursive: true });
	const server = join(made, 'http_server');
	// written to another path and renamed, since another run of the tests can have the output open
	const fresh = `${server}.${process.pid}`;
	const env = { ...process.env, CGO_ENABLED: '0', GO111MODULE: 'off', GOTOOLCHAIN: 'local' };
	await execute(program, ['build', '-o', fresh, join(apps, 'http_server.go')], { env });
	renameSync(fresh, server);
	return server;
}

const go = (name: string, multipathtcp: 0 | 2, note?: string): Application => ({
	name,
	program: 'go',
	listens: { AF_INET: '`net.Listen("tcp4", ":80")`', 'AF_INET6 dual-stack': '`net.Listen("tcp", ":80")`' },
	logs: '`RemoteAddr`',
	logsUnmapped: true,
	...(note === undefined ? {} : { note }),
	version: (program) => versionOf(program, 'version'),
	command: async ({ program, listener, port, log }) => {
		goServer ??= compileGo(program);
		const server = [await goServer, listener === 'AF_INET' ? 'tcp4' : 'tcp', String(port), log];
		return ['env', `GODEBUG=multipathtcp=${multipathtcp}`, ...server];
	},
});

export const goTcp = go('Go, net/http', 0);
export const goMptcp = go(
	'Go, net/http, MPTCP',
	2,
	'A Go program whose module says `go 1.24` or later opens its listeners with `IPPROTO_MPTCP` if the kernel has it.',
);

export const pythonThreads: Application = {
	name: 'Python, http.server with threads',
	program: 'python3',
	listens: { AF_INET: '`AF_INET`', 'AF_INET6 dual-stack': '`AF_INET6`' },
	logs: '`client_address`',
	version: (program) => versionOf(program, '--version'),
	command: script('python_threads.py'),
};

export const pythonAsyncio: Application = {
	name: 'Python, asyncio',
	program: 'python3',
	listens: {
		AF_INET: "`start_server(f, '0.0.0.0', 80)`",
		'AF_INET6 dual-stack': '`socket.create_server(…, dualstack_ipv6=True)`',
	},
	logs: "`get_extra_info('peername')`",
	version: (program) => versionOf(program, '--version'),
	command: script('python_asyncio.py'),
};

const node = (module: string): Application => ({
	name: `Node.js, node:${module}`,
	program: process.execPath,
	listens: { AF_INET: "`listen(80, '0.0.0.0')`", 'AF_INET6 dual-stack': '`listen(80)`' },
	logs: '`socket.remoteAddress`, `remotePort`',
	acceptsSilently: true,
	version: () => process.versions.node,
	command: script(`node_${module}.ts`),
});

export const nodeHttp = node('http');
export const nodeNet = node('net');
