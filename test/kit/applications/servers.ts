// SPDX-License-Identifier: Apache-2.0
/** Web servers and proxies, as their packages provide them. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Application, CommandOptions } from './application.ts';

/** The first text in the output of the command that looks like a version. */
export function versionOf(...command: readonly [string, ...string[]]): string {
	const { stdout, stderr } = spawnSync(command[0], command.slice(1), { encoding: 'utf8' });
	return /\d+(?:\.\d+)+/.exec(`${stdout}${stderr}`)?.[0] ?? 'unknown';
}

function configured({ directory }: CommandOptions, name: string, text: string): string {
	const file = join(directory, name);
	writeFileSync(file, text);
	return file;
}

export const nginx: Application = {
	name: 'nginx',
	program: 'nginx',
	listens: { AF_INET: '`listen 80`', 'AF_INET6 dual-stack': '`listen [::]:80 ipv6only=off`' },
	logs: '`$remote_addr`, `$remote_port`',
	forks: true,
	version: (program) => versionOf(program, '-v'),
	command: (options) => {
		const { program, listener, port, directory, log } = options;
		const listen = listener === 'AF_INET' ? port : `[::]:${port} ipv6only=off`;
		const file = configured(
			options,
			'nginx.conf',
			`
daemon off;
user root root;
worker_processes 2;
pid ${directory}/nginx.pid;
error_log stderr;
events {}
http {
	client_body_temp_path ${directory}/body;
	proxy_temp_path ${directory}/proxy;
	fastcgi_temp_path ${directory}/fastcgi;
	uwsgi_temp_path ${directory}/uwsgi;
	scgi_temp_path ${directory}/scgi;
	log_format peer "$remote_addr $remote_port $pid";
	access_log ${log} peer;
	server {
		listen ${listen};
		location / { return 200 "ok\\n"; }
	}
}
`,
		);
		return [program, '-p', directory, '-c', file, '-e', 'stderr'];
	},
};

export const haproxy: Application = {
	name: 'haproxy',
	program: 'haproxy',
	listens: { AF_INET: '`bind :80`', 'AF_INET6 dual-stack': '`bind :::80 v4v6`' },
	logs: '`%ci`, `%cp`',
	version: (program) => versionOf(program, '-v'),
	command: (options) => {
		const { program, listener, port, log } = options;
		const file = configured(
			options,
			'haproxy.cfg',
			`
global
	log stdout format raw daemon
	nbthread 2
defaults
	mode http
	timeout client 60s
	timeout http-request 60s
	timeout server 60s
	timeout connect 60s
frontend lab
	log global
	log-format "%ci %cp %pid"
	bind ${listener === 'AF_INET' ? `:${port}` : `:::${port} v4v6`}
	http-request return status 200 content-type text/plain string "ok\\n"
`,
		);
		return ['sh', '-c', 'exec "$0" -db -f "$1" >"$2"', program, file, log];
	},
};

/**
 * Returns the directory of the modules. It is next to the program, wherever Debian's package was
 * unpacked.
 */
function apacheModules(program: string): string {
	const candidates = ['../root/usr/lib/apache2/modules', '../lib/apache2/modules', '../lib64/httpd/modules'];
	const found = candidates.map((path) => join(dirname(program), path)).find(existsSync);
	return found ?? '/usr/lib/apache2/modules';
}

const apache = (mpm: 'event' | 'prefork'): Application => ({
	name: `Apache, MPM ${mpm}`,
	program: 'apache2',
	listens: { AF_INET: '`Listen 0.0.0.0:80`', 'AF_INET6 dual-stack': '`Listen 80`' },
	logs: '`%a`, `%{remote}p`',
	note:
		'Apache sets `TCP_DEFER_ACCEPT` (`AcceptFilter http data`): the kernel drops the bare ACK that ends the handshake, and an option ' +
		'that only this ACK carries is lost. Balancers repeat it on the first data segment.',
	logsUnmapped: true,
	forks: true,
	version: (program) => versionOf(program, '-v'),
	command: (options) => {
		const { program, listener, port, directory, log } = options;
		const modules = apacheModules(program);
		// its workers do not run as root
		chmodSync(directory, 0o755);
		mkdirSync(join(directory, 'www'));
		writeFileSync(join(directory, 'www/ok'), 'ok\n');
		const file = configured(
			options,
			'apache.conf',
			`
ServerRoot ${directory}
ServerName lab
DefaultRuntimeDir ${directory}
PidFile ${directory}/apache.pid
LoadModule mpm_${mpm}_module ${modules}/mod_mpm_${mpm}.so
LoadModule authz_core_module ${modules}/mod_authz_core.so
User #65534
Group #65534
StartServers 6
Listen ${listener === 'AF_INET' ? `0.0.0.0:${port}` : port}
DocumentRoot ${directory}/www
ErrorLog ${directory}/error.log
LogFormat "%a %{remote}p %{pid}P" peer
CustomLog ${log} peer
`,
		);
		return [program, '-D', 'FOREGROUND', '-f', file];
	},
});

export const apacheEvent = apache('event');
export const apachePrefork = apache('prefork');
