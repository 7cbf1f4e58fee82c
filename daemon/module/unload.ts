// SPDX-License-Identifier: Apache-2.0
/** Unloads toa.ko, after detaching toascope's programs from it. */
import { existsSync } from 'node:fs';
import { native } from '../../native/binding.ts';
import { modulePrograms } from '../capture/load.ts';
import { Pins } from '../capture/pinning/pins.ts';
import { ToascopeError } from '../errors.ts';
import { requireCapabilities } from '../host/privileges.ts';
import { hostRoots, type Roots } from '../host/roots.ts';
import { lastLines, runToolSync } from '../host/tool.ts';
import { HostLock } from './host_lock.ts';
import { describeLoaded, readLoaded } from './loaded.ts';

/**
 * `pin`: the directory of the daemon's pins (bpf.pin). If links that a daemon left there hold the
 * module, all links of that daemon are removed, because its other programs would keep running
 * without seeing a client. The counters stay.
 * @throws {ToascopeError} MODULE_FOREIGN, MODULE_IN_USE, NO_PRIVILEGE, ALREADY_RUNNING
 */
export function unloadModule(pin: string | undefined, roots: Roots = hostRoots): 'unloaded' | 'was not loaded' {
	const loaded = readLoaded(roots);
	if (loaded === undefined) return 'was not loaded';
	if (loaded.origin === 'foreign') {
		throw new ToascopeError('MODULE_FOREIGN', `the loaded module is not toascope's (${describeLoaded(loaded)})`, {
			hint: 'it was not unloaded; rmmod toa unloads it',
		});
	}
	requireCapabilities('unloading a kernel module', ['CAP_SYS_MODULE']);
	if (pin !== undefined && existsSync(pin)) withInUseError(() => detachLinks(pin));
	const lock = withInUseError(() => HostLock.acquire(roots));
	try {
		removeModule(roots);
	} finally {
		lock.release();
	}
	return 'unloaded';
}

/** Calls `act`. @throws {ToascopeError} MODULE_IN_USE if a daemon is running */
function withInUseError<T>(act: () => T): T {
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

function detachLinks(pin: string): void {
	const pins = Pins.open(native(), pin);
	try {
		pins.detachLinksWith(modulePrograms);
	} finally {
		pins.close(true);
	}
}

/** A detached program releases the module only after an RCU grace period. */
const timeoutMs = 2000;
const pauseMs = 50;

/**
 * Unloads the module. Blocks for at most two seconds, so it is for commands and for a daemon's end.
 * @throws {ToascopeError} MODULE_IN_USE, MODULE_LOAD_FAILED
 */
export function removeModule(roots: Roots = hostRoots): void {
	const deadline = performance.now() + timeoutMs;
	for (;;) {
		const { output } = runToolSync('rmmod', ['toa']);
		const after = readLoaded(roots);
		if (after === undefined) return;
		// a getsockopt() holds the module too, and can end before `references` is read
		if ((after.references > 0 || /in use|temporarily unavailable/i.test(output)) && performance.now() < deadline) {
			Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
			continue;
		}
		if (after.references === 0) {
			throw new ToascopeError('MODULE_LOAD_FAILED', `rmmod did not unload toa.ko: ${lastLines(output, 1)}`, {
				hint: 'check the kernel log for the cause: dmesg | tail',
			});
		}
		const references = `${after.references} reference${after.references === 1 ? '' : 's'}`;
		throw new ToascopeError('MODULE_IN_USE', `toa.ko is in use (${references})`, {
			hint: 'a toascope with other pins, or a tracing program, is attached to its tracepoints: bpftool link lists BPF links',
		});
	}
}
