// SPDX-License-Identifier: Apache-2.0
/**
 * A host has only one toa.ko. The daemon whose configuration is in force for it locks the module's
 * directory in sysfs, whatever its own pins are; a daemon with the provider `bpf` does not.
 */
import { closeSync, existsSync, fstatSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '../../native/binding.ts';
import { ToascopeError } from '../errors.ts';
import { lockHolder } from '../host/lock_holder.ts';
import { hostRoots, type Roots } from '../host/roots.ts';

export class HostLock {
	#fd: number;

	private constructor(fd: number) {
		this.#fd = fd;
	}

	/**
	 * Locks the loaded module.
	 * @throws {ToascopeError} ALREADY_RUNNING, MODULE_LOAD_FAILED if it is not loaded any more
	 */
	static acquire({ sys }: Roots = hostRoots): HostLock {
		const directory = join(sys, 'module/toa');
		let fd: number;
		try {
			fd = native().lock(directory);
		} catch (cause) {
			if (existsSync(directory)) throw cause;
			throw new ToascopeError('MODULE_LOAD_FAILED', 'toa.ko was just unloaded by another process', {
				hint: 'try again',
				cause,
			});
		}
		if (fd >= 0) return new HostLock(fd);
		const pid = lockHolder(directory);
		throw new ToascopeError(
			'ALREADY_RUNNING',
			`another toascope${pid === undefined ? '' : ` (pid ${pid})`} controls toa.ko, and a host has only one`,
			{ hint: 'stop it first, or set provider to bpf' },
		);
	}

	/** False: the locked module was unloaded, even if another one was loaded since. */
	holdsLoadedModule({ sys }: Roots = hostRoots): boolean {
		const current = statSync(join(sys, 'module/toa'), { throwIfNoEntry: false });
		return this.#fd >= 0 && current !== undefined && fstatSync(this.#fd).ino === current.ino;
	}

	/** Idempotent. */
	release(): void {
		if (this.#fd >= 0) closeSync(this.#fd);
		this.#fd = -1;
	}
}
