// SPDX-License-Identifier: Apache-2.0
/**
 * Where the kernel state outlives the daemon: a directory under bpffs, in it one for the layout of
 * the records, in it `maps` and `links`. The directory's lock belongs to the daemon that runs.
 */
import { closeSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ToascopeError } from '../errors.ts';
import { limit } from './layout.gen.ts';
import { findBpffs, readMounts } from './mounts.ts';
import type { Native } from './native.ts';

const standardPoint = '/sys/fs/bpf';

export class Pins {
	readonly maps: string;
	readonly links: string;
	readonly #native: Native;
	readonly #root: string;
	readonly #layout: string;
	readonly #mounted: boolean;
	#lock: number;
	#adopted: boolean;

	private constructor(native: Native, root: string, mounted: boolean, lock: number) {
		this.#native = native;
		this.#root = root;
		this.#mounted = mounted;
		this.#lock = lock;
		this.#layout = join(root, `v${limit.TOASCOPE_LAYOUT}`);
		this.maps = join(this.#layout, 'maps');
		this.links = join(this.#layout, 'links');
		mkdirSync(this.maps, { recursive: true, mode: 0o700 });
		mkdirSync(this.links, { recursive: true, mode: 0o700 });
		this.#adopted = readdirSync(this.maps).length > 0;
	}

	/**
	 * Mounts bpffs where it is missing, makes the directories and takes the lock.
	 * @throws {ToascopeError} NO_BPFFS, ALREADY_RUNNING
	 */
	static open(native: Native, root: string): Pins {
		const mounted = ensureBpffs(native, root);
		try {
			mkdirSync(root, { recursive: true, mode: 0o700 });
		} catch (cause) {
			throw new ToascopeError('NO_BPFFS', `cannot make ${root}: ${(cause as Error).message}`, {
				hint: 'set bpf.pin to a directory on a writable bpffs, or to off',
				cause,
			});
		}
		const lock = native.lock(root);
		if (lock < 0) {
			const pid = lockHolder(root);
			throw new ToascopeError(
				'ALREADY_RUNNING',
				`another toascope${pid === undefined ? '' : ` (pid ${pid})`} has ${root}`,
				{
					hint: 'stop it first, or set bpf.pin to another directory',
				},
			);
		}
		return new Pins(native, root, mounted, lock);
	}

	link(program: string): string {
		return join(this.links, program);
	}

	/** True: a daemon before this one left its state here, and it was not cleared. */
	get adopted(): boolean {
		return this.#adopted;
	}

	/** Detaches what an earlier daemon needed and this one does not. */
	unlinkOthers(programs: ReadonlySet<string>): void {
		for (const name of readdirSync(this.links)) if (!programs.has(name)) unlinkSync(this.link(name));
	}

	/** Detaches and forgets what a toascope with another layout of its records left. Returns the layouts' names. */
	dropOtherLayouts(): string[] {
		const others = readdirSync(this.#root).filter(
			(name) => /^v\d+$/.test(name) && join(this.#root, name) !== this.#layout,
		);
		for (const name of others) {
			const layout = join(this.#root, name);
			for (const part of ['links', 'maps'].map((each) => join(layout, each)).filter((each) => existsSync(each))) {
				for (const pin of readdirSync(part)) unlinkSync(join(part, pin));
				rmdirSync(part);
			}
			rmdirSync(layout);
		}
		return others;
	}

	/** Forgets what is pinned: the counters start from zero. */
	clear(): void {
		for (const directory of [this.links, this.maps]) {
			for (const name of readdirSync(directory)) unlinkSync(join(directory, name));
		}
		this.#adopted = false;
	}

	/** Gives the lock back. With `keep` everything stays pinned, else nothing is left, the mount neither. */
	close(keep: boolean): void {
		if (this.#lock < 0) return;
		if (!keep) {
			this.clear();
			for (const directory of [this.links, this.maps, this.#layout]) rmdirSync(directory);
		}
		closeSync(this.#lock);
		this.#lock = -1;
		// what else is pinned there is somebody else's
		if (keep || readdirSync(this.#root).length > 0) return;
		rmdirSync(this.#root);
		if (this.#mounted) this.#native.unmount(standardPoint);
	}
}

/** Returns whether it mounted. */
function ensureBpffs(native: Native, root: string): boolean {
	const mount = findBpffs(readMounts(), root);
	if (mount?.readOnly === true) {
		throw new ToascopeError('NO_BPFFS', `bpffs at ${mount.point} is read-only`, {
			hint: `mount -o remount,rw ${mount.point}, or set bpf.pin to off`,
		});
	}
	if (mount !== undefined) return false;
	if (!(root.startsWith(`${standardPoint}/`) && existsSync(standardPoint))) {
		throw new ToascopeError('NO_BPFFS', `${root} is not on a bpffs`, {
			hint: `set bpf.pin to a directory below ${standardPoint}, or mount one: mount -t bpf bpf DIRECTORY`,
		});
	}
	try {
		native.mountBpffs(standardPoint);
	} catch (cause) {
		throw new ToascopeError('NO_BPFFS', `no bpffs is mounted, and it cannot be mounted: ${(cause as Error).message}`, {
			hint: `mount -t bpf bpf ${standardPoint} as root, or set bpf.pin to off`,
			cause,
		});
	}
	return true;
}

/** The process that has the lock of a file: proc(5), /proc/locks. */
function lockHolder(path: string): number | undefined {
	const inode = statSync(path).ino;
	for (const line of readFileSync('/proc/locks', 'utf8').split('\n')) {
		const fields = line.trim().split(/\s+/);
		if (fields[1] === 'FLOCK' && fields[5]?.endsWith(`:${inode}`)) return Number(fields[4]);
	}
	return undefined;
}
