// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope reload`: makes the running daemon read its configuration again, and reports the
 * outcome. For systemd's ExecReload=.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { errorKindOf, getFromDaemon } from '../client/daemon_client.ts';
import { listeningProcessOf, lockHolderOf } from '../client/running_daemon.ts';
import { readReloads, type Status } from '../client/status.ts';
import type { Config, Environment } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { logAdvice } from '../doctor/log_advice.ts';
import { type ErrorCode, errorCodes, exitCode, ToascopeError } from '../errors.ts';

export interface ReloadOptions {
	readonly config?: string | undefined;
	readonly env: Environment;
	readonly write: (text: string) => void;
}

const pollMs = 50;
/**
 * A reload lasts milliseconds, but can begin seconds later while the daemon reads a large table.
 */
const limitMs = 30_000;

/**
 * A file that is wrong is refused here: the daemon is not signalled. The process to signal is the
 * one that listens on http.socket, as the kernel reports it. Where that socket is off, or no
 * process listens there, it is systemd's MAINPID or the process that holds the pins, and the log
 * has the outcome: at http.listen any user can answer in the daemon's place, so no answer from
 * there counts.
 * @throws {ToascopeError} CONFIG_UNREADABLE, CONFIG_INVALID, NOT_RUNNING, NO_PRIVILEGE, and what
 * the daemon refused
 */
export async function reload({ config: path, env, write }: ReloadOptions): Promise<number> {
	const config = loadConfig({ path, env });
	const { socket } = config.http;
	const running = socket === undefined ? undefined : await requestReloadStatus(socket);
	if (socket === undefined || running === undefined) return notifyMainProcess(config, env, write);
	const { pid, reloads: before } = running;
	if (pid === undefined) {
		throw new ToascopeError('NOT_RUNNING', `the process that listens on ${socket} is not in this pid namespace`, {
			hint: 'run the command where the daemon runs, or send SIGHUP to its process, and read its log',
		});
	}
	signal(pid);
	const { successful, error, restart_keys: later } = await outcome(socket, pid, before);
	if (!successful) throw reloadError(error, pid);
	const rest = later.length === 0 ? '' : `; these keys require a restart: ${later.join(', ')}`;
	write(`configuration reloaded by the daemon (pid ${pid})${rest}\n`);
	return exitCode.done;
}

interface Running {
	/**
	 * Undefined: it is not in our PID namespace, or no longer runs as the user who began to listen.
	 */
	readonly pid: number | undefined;
	readonly reloads: Status['config_reload'];
}

/** Undefined: no daemon is listening there. @throws {ToascopeError} NO_PRIVILEGE */
async function requestReloadStatus(socket: string): Promise<Running | undefined> {
	let pid: number | undefined;
	try {
		const answer = await getFromDaemon({ socket }, '/v1/status', (connected) => {
			pid = listeningProcessOf(connected)?.pid;
		});
		return { pid, reloads: readReloads(answer) };
	} catch (cause) {
		if (errorKindOf(cause) !== 'denied') return undefined;
		throw new ToascopeError('NO_PRIVILEGE', `this user is not allowed to use ${socket}`, {
			hint: 'use sudo',
			cause,
		});
	}
}

function reloadError(error: Status['config_reload']['error'], pid: number): ToascopeError {
	const code = error !== null && error.code in errorCodes ? (error.code as ErrorCode) : 'BPF_FAILED';
	const what = error?.message ?? 'the log of the daemon says why';
	return new ToascopeError(code, `the previous configuration stays in force: ${what}`, {
		hint: error?.hint ?? logAdvice(pid),
	});
}

/** The outcome that the daemon reports, once it has attempted the reload. */
async function outcome(socket: string, pid: number, before: Status['config_reload']): Promise<Status['config_reload']> {
	const until = performance.now() + limitMs;
	while (performance.now() < until) {
		const found = await requestReloadStatus(socket);
		if (found !== undefined) {
			if (found.pid !== pid) throw new ToascopeError('NOT_RUNNING', `the daemon (pid ${pid}) has exited`);
			if (found.reloads.attempts > before.attempts) return found.reloads;
		}
		await delay(pollMs);
	}
	throw new ToascopeError('NOT_RUNNING', `the daemon (pid ${pid}) has not reloaded within ${limitMs / 1000} s`, {
		hint: logAdvice(pid),
	});
}

function notifyMainProcess({ http, bpf }: Config, env: Environment, write: ReloadOptions['write']): number {
	const named = Number(env.MAINPID ?? Number.NaN);
	const isNamed = Number.isSafeInteger(named) && named > 1;
	const pid = isNamed ? named : bpf.pin === undefined ? undefined : lockHolderOf(bpf.pin)?.pid;
	if (pid === undefined) {
		const what = http.socket === undefined ? 'http.socket is off' : `no daemon is listening at ${http.socket}`;
		throw new ToascopeError('NOT_RUNNING', `${what}: the outcome of a reload cannot be determined`, {
			hint: 'start it with: toascope run; or send SIGHUP to its process, and read its log',
		});
	}
	signal(pid);
	write(`the file is valid, and SIGHUP was sent to process ${pid}; its log has the outcome of the reload\n`);
	return exitCode.done;
}

function signal(pid: number): void {
	try {
		process.kill(pid, 'SIGHUP');
	} catch (cause) {
		const denied = (cause as NodeJS.ErrnoException).code === 'EPERM';
		throw denied
			? new ToascopeError('NO_PRIVILEGE', `this user is not allowed to signal the daemon (pid ${pid})`, {
					hint: 'use sudo',
					cause,
				})
			: new ToascopeError('NOT_RUNNING', `the daemon (pid ${pid}) is not in this pid namespace, or has exited`, {
					cause,
				});
	}
}
