// SPDX-License-Identifier: Apache-2.0
/** Unloads toa.ko: first what of toascope's hangs on it, then the module. */
import { existsSync } from 'node:fs';
import { modulePrograms } from '../capture/load.ts';
import { native } from '../capture/native.ts';
import { Pins } from '../capture/pins.ts';
import { requireCapabilities } from '../capture/privileges.ts';
import { ToascopeError } from '../errors.ts';
import { HostLock } from './host_lock.ts';
import { describeLoaded, readLoaded } from './loaded.ts';
import { hostRoots, type Roots } from './roots.ts';
import { lastLines, runToolNow } from './tool.ts';

/**
 * `pin`: the directory of the daemon's pins (bpf.pin). Links that a daemon left there hold the module, and its
 * programs would go on and see no client: all are taken away, the counters stay.
 * @throws {ToascopeError} MODULE_FOREIGN, MODULE_IN_USE, NO_PRIVILEGE, ALREADY_RUNNING
 */
export function unloadModule(pin: string | undefined, roots: Roots = hostRoots): 'unloaded' | 'was not loaded' {
	const loaded = readLoaded(roots);
	if (loaded === undefined) return 'was not loaded';
	if (loaded.whose === 'foreign') {
		throw new ToascopeError(
			'MODULE_FOREIGN',
			`the module that is loaded is not toascope's (${describeLoaded(loaded)})`,
			{
				hint: 'it was left in place; rmmod toa takes it away',
			},
		);
	}
	requireCapabilities('unloading a kernel module', ['CAP_SYS_MODULE']);
	if (pin !== undefined && existsSync(pin)) asInUse(() => dropLinks(pin));
	const lock = asInUse(() => HostLock.take(roots));
	try {
		removeModule(roots);
	} finally {
		lock.release();
	}
	return 'unloaded';
}

/** @throws {ToascopeError} MODULE_IN_USE, where a daemon runs */
function asInUse<T>(act: () => T): T {
	try {
		return act();
	} catch (cause) {
		if (!(cause instanceof ToascopeError) || cause.code !== 'ALREADY_RUNNING') throw cause;
		throw new ToascopeError('MODULE_IN_USE', `toa.ko is in use: ${cause.message}`, {
			hint: 'stop the daemon first: systemctl stop toascope',
			cause,
		});
	}
}

function dropLinks(pin: string): void {
	const pins = Pins.open(native(), pin);
	try {
		pins.dropLinksWith(modulePrograms);
	} finally {
		pins.close(true);
	}
}

/** The kernel lets go of what hung on the module a moment after it was taken away: after a grace period of RCU. */
const patienceMs = 2000;
const pauseMs = 50;

/**
 * Takes it out of the kernel. Blocks for at most two seconds: it is for commands, and for a daemon's end.
 * @throws {ToascopeError} MODULE_IN_USE, MODULE_LOAD_FAILED
 */
export function removeModule(roots: Roots = hostRoots): void {
	const until = performance.now() + patienceMs;
	for (;;) {
		const { output } = runToolNow('rmmod', ['toa']);
		const after = readLoaded(roots);
		if (after === undefined) return;
		// a getsockopt() holds it as well, and has ended by the time we look
		if ((after.references > 0 || /in use|temporarily unavailable/i.test(output)) && performance.now() < until) {
			Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
			continue;
		}
		if (after.references === 0) {
			throw new ToascopeError('MODULE_LOAD_FAILED', `rmmod did not take toa.ko away: ${lastLines(output, 1)}`, {
				hint: 'the kernel log may say more: dmesg | tail',
			});
		}
		const others = `${after.references} other${after.references === 1 ? '' : 's'}`;
		throw new ToascopeError('MODULE_IN_USE', `toa.ko is in use by ${others}`, {
			hint: 'a toascope with other pins, or a tracing program, hangs on its tracepoints: bpftool link shows BPF ones',
		});
	}
}
