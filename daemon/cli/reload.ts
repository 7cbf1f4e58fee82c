// SPDX-License-Identifier: Apache-2.0
/** `toascope reload`: has the running daemon read its configuration again, and says how that went. For systemd's ExecReload=. */
import { setTimeout as delay } from 'node:timers/promises';
import { holderOf, listenerOf } from '../capture/running_daemon.ts';
import type { Config, Environment } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { ask, kindOf } from '../doctor/ask.ts';
import { whereLogIs } from '../doctor/log_place.ts';
import { readReloads, type Status } from '../doctor/status.ts';
import { type ErrorCode, errorCodes, exitCode, ToascopeError } from '../errors.ts';

export interface ReloadOptions {
	readonly config?: string | undefined;
	readonly env: Environment;
	readonly write: (text: string) => void;
}

const pollMs = 50;
/** A reload takes milliseconds; a daemon that reads a large table may come to it seconds later. */
const limitMs = 30_000;

/**
 * A file that is wrong is not shown to the daemon at all. The process to signal is the one that listens on http.socket, by the
 * kernel's word. Where that socket is off, or nobody listens there, it is systemd's MAINPID or the process that has the pins, and
 * the log has the outcome: at http.listen any user may answer in the daemon's place, so nothing said there counts.
 * @throws {ToascopeError} CONFIG_UNREADABLE, CONFIG_INVALID, NOT_RUNNING, NO_PRIVILEGE, and what the daemon refused
 */
export async function reload({ config: path, env, write }: ReloadOptions): Promise<number> {
	const config = loadConfig({ path, env });
	const { socket } = config.http;
	const running = socket === undefined ? undefined : await askReloads(socket);
	if (socket === undefined || running === undefined) return tellMainProcess(config, env, write);
	const { pid, reloads: before } = running;
	if (pid === undefined) {
		throw new ToascopeError('NOT_RUNNING', `the process that listens on ${socket} is not in this pid namespace`, {
			hint: 'run the command where the daemon runs, or send its process SIGHUP, and read its log',
		});
	}
	signal(pid);
	const { successful, error, restart_keys: later } = await outcome(socket, pid, before);
	if (!successful) throw refusal(error, pid);
	const rest = later.length === 0 ? '' : `; these keys take a restart: ${later.join(', ')}`;
	write(`configuration reloaded by the daemon (pid ${pid})${rest}\n`);
	return exitCode.done;
}

interface Running {
	/** Undefined: the kernel does not show it to us, or it is not the user's who began to listen. */
	readonly pid: number | undefined;
	readonly reloads: Status['config_reload'];
}

/** Undefined: no daemon answers there. @throws {ToascopeError} NO_PRIVILEGE */
async function askReloads(socket: string): Promise<Running | undefined> {
	let pid: number | undefined;
	try {
		const answer = await ask({ socket }, '/v1/status', (connected) => {
			pid = listenerOf(connected)?.pid;
		});
		return { pid, reloads: readReloads(answer) };
	} catch (cause) {
		if (kindOf(cause) !== 'denied') return undefined;
		throw new ToascopeError('NO_PRIVILEGE', `this user may not ask the daemon at ${socket}`, {
			hint: 'use sudo',
			cause,
		});
	}
}

function refusal(error: Status['config_reload']['error'], pid: number): ToascopeError {
	const code = error !== null && error.code in errorCodes ? (error.code as ErrorCode) : 'BPF_FAILED';
	const what = error?.message ?? 'the log of the daemon says why';
	return new ToascopeError(code, `the configuration before stays in force: ${what}`, {
		hint: error?.hint ?? whereLogIs(pid),
	});
}

/** How it went, by the daemon, once it has tried. */
async function outcome(socket: string, pid: number, before: Status['config_reload']): Promise<Status['config_reload']> {
	const until = performance.now() + limitMs;
	while (performance.now() < until) {
		const found = await askReloads(socket);
		if (found !== undefined) {
			if (found.pid !== pid) throw new ToascopeError('NOT_RUNNING', `the daemon (pid ${pid}) has ended`);
			if (found.reloads.attempts > before.attempts) return found.reloads;
		}
		await delay(pollMs);
	}
	throw new ToascopeError('NOT_RUNNING', `the daemon (pid ${pid}) has not reloaded within ${limitMs / 1000} s`, {
		hint: whereLogIs(pid),
	});
}

function tellMainProcess({ http, bpf }: Config, env: Environment, write: ReloadOptions['write']): number {
	const named = Number(env.MAINPID ?? Number.NaN);
	const isNamed = Number.isSafeInteger(named) && named > 1;
	const pid = isNamed ? named : bpf.pin === undefined ? undefined : holderOf(bpf.pin)?.pid;
	if (pid === undefined) {
		const what = http.socket === undefined ? 'http.socket is off' : `no daemon answers at ${http.socket}`;
		throw new ToascopeError('NOT_RUNNING', `${what}: it cannot be asked how the reload went`, {
			hint: 'start it with: toascope run; or send its process SIGHUP, and read its log',
		});
	}
	signal(pid);
	write(`the file is right, and process ${pid} has got SIGHUP; its log says how the reload went\n`);
	return exitCode.done;
}

function signal(pid: number): void {
	try {
		process.kill(pid, 'SIGHUP');
	} catch (cause) {
		const denied = (cause as NodeJS.ErrnoException).code === 'EPERM';
		throw denied
			? new ToascopeError('NO_PRIVILEGE', `this user may not signal the daemon (pid ${pid})`, {
					hint: 'use sudo',
					cause,
				})
			: new ToascopeError('NOT_RUNNING', `the daemon (pid ${pid}) is not in this pid namespace, or has ended`, {
					cause,
				});
	}
}
