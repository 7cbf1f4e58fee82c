// SPDX-License-Identifier: Apache-2.0
/** `toascope reload`: has the running daemon read its configuration again, and says how that went. For systemd's ExecReload=. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Config, Environment } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { placesOf } from '../doctor/ask.ts';
import { findDaemon, type Status } from '../doctor/status.ts';
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
 * A file that is wrong is not shown to the daemon at all. Where HTTP is off, or does not listen yet, systemd's MAINPID is told, and
 * the log has the outcome.
 * @throws {ToascopeError} CONFIG_UNREADABLE, CONFIG_INVALID, NOT_RUNNING, NO_PRIVILEGE, and what the daemon refused
 */
export async function reload({ config: path, env, write }: ReloadOptions): Promise<number> {
	const config = loadConfig({ path, env });
	const found = await findDaemon(placesOf(config));
	const running = found !== undefined && 'status' in found ? found.status : undefined;
	if (running === undefined) return tellMainProcess(config, env, write);
	signal(running.pid);
	const after = await outcome(config, running);
	const { successful, error, restart_keys: later } = after.config_reload;
	if (!successful) throw refusal(error);
	const rest = later.length === 0 ? '' : `; these keys take a restart: ${later.join(', ')}`;
	write(`configuration reloaded by the daemon (pid ${after.pid})${rest}\n`);
	return exitCode.done;
}

function refusal(error: Status['config_reload']['error']): ToascopeError {
	const code = error !== null && error.code in errorCodes ? (error.code as ErrorCode) : 'BPF_FAILED';
	const what = error?.message ?? 'the log of the daemon says why';
	return new ToascopeError(code, `the configuration before stays in force: ${what}`, {
		hint: error?.hint ?? 'its log says more: journalctl -u toascope',
	});
}

/** What the daemon says of itself once it has tried. */
async function outcome(config: Config, before: Status): Promise<Status> {
	const until = performance.now() + limitMs;
	while (performance.now() < until) {
		const found = await findDaemon(placesOf(config));
		if (found !== undefined && 'status' in found) {
			const { pid, config_reload: reloaded } = found.status;
			if (pid !== before.pid) throw new ToascopeError('NOT_RUNNING', `the daemon (pid ${before.pid}) has ended`);
			if (reloaded.attempts > before.config_reload.attempts) return found.status;
		}
		await delay(pollMs);
	}
	throw new ToascopeError('NOT_RUNNING', `the daemon (pid ${before.pid}) has not reloaded within ${limitMs / 1000} s`, {
		hint: 'its log says more: journalctl -u toascope',
	});
}

function tellMainProcess(config: Config, env: Environment, write: ReloadOptions['write']): number {
	const pid = Number(env.MAINPID ?? Number.NaN);
	if (!Number.isSafeInteger(pid) || pid <= 1) {
		const [place] = placesOf(config);
		const what = place === undefined ? 'http.listen and http.socket are off' : 'no daemon answers';
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
