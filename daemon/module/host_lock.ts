// SPDX-License-Identifier: Apache-2.0
/**
 * toa.ko is one for the whole host. The daemon that says what it believes has the lock of its directory in sysfs, whatever
 * pins it has; one with the provider bpf has none.
 */
import { closeSync, existsSync, fstatSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { lockHolder } from '../capture/lock_holder.ts';
import { native } from '../capture/native.ts';
import { ToascopeError } from '../errors.ts';
import { hostRoots, type Roots } from './roots.ts';

export class HostLock {
	#fd: number;

	private constructor(fd: number) {
		this.#fd = fd;
	}

	/** Of the module that is loaded. @throws {ToascopeError} ALREADY_RUNNING, MODULE_LOAD_FAILED where it is gone */
	static take({ sys }: Roots = hostRoots): HostLock {
		const directory = join(sys, 'module/toa');
		let fd: number;
		try {
			fd = native().lock(directory);
		} catch (cause) {
			if (existsSync(directory)) throw cause;
			throw new ToascopeError('MODULE_LOAD_FAILED', 'toa.ko was unloaded at this moment', {
				hint: 'somebody else did that; try again',
				cause,
			});
		}
		if (fd >= 0) return new HostLock(fd);
		const pid = lockHolder(directory);
		throw new ToascopeError(
			'ALREADY_RUNNING',
			`another toascope${pid === undefined ? '' : ` (pid ${pid})`} has toa.ko, which is one for the whole host`,
			{ hint: 'stop it first, or set provider to bpf' },
		);
	}

	/** False: the module that it was taken of is gone, also where another was loaded since. */
	isOfLoaded({ sys }: Roots = hostRoots): boolean {
		const now = statSync(join(sys, 'module/toa'), { throwIfNoEntry: false });
		return this.#fd >= 0 && now !== undefined && fstatSync(this.#fd).ino === now.ino;
	}

	/** Does nothing the second time. */
	release(): void {
		if (this.#fd >= 0) closeSync(this.#fd);
		this.#fd = -1;
	}
}
