// SPDX-License-Identifier: Apache-2.0
/**
 * Pins the kernel state, which outlives the daemon, in a directory under bpffs: it contains one
 * directory for each layout of the records, and that contains `maps` and `links`. The running
 * daemon holds the lock of the top directory.
 */
import {
	closeSync,
	existsSync,
	fstatSync,
	lstatSync,
	mkdirSync,
	readdirSync,
	renameSync,
	rmdirSync,
	statSync,
	unlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Native } from '../../../native/binding.ts';
import { reasonOf, removeDirectories } from '../../directories.ts';
import { ToascopeError } from '../../errors.ts';
import { ensureBpffs, requireNotMountPoint, unmountBpffs } from '../../host/bpffs.ts';
import { findBpffs, readMounts } from '../../host/mounts.ts';
import type { LogSink } from '../../log_line.ts';
import { descriptorPath, isSame, openDirectory } from './pin_directory.ts';
import { acquireLock, alreadyRunning, layoutName, makeParts, warnOpenDirectory } from './pin_lock.ts';

/** Pins of this layout, but with maps of other sizes. */
const asideName = `${layoutName}-before`;

const isLayout = (name: string) => /^v\d+(-before)?$/.test(name);
/** Larger for later layouts. */
const versionOf = (layout: string) => Number.parseInt(layout.slice(1), 10);

/** What is wrong where `isReachable` is false, after the name of the directory. */
export const hiddenOrMoved = 'is hidden by another mount, or was moved';

export class Pins {
	/**
	 * The path as an operator knows it. The pins in it are reached through the descriptor of the
	 * lock, wherever the path leads.
	 */
	readonly root: string;
	readonly #native: Native;
	/** Removes what was created for the pins: directories, the mount. */
	readonly #undoSetup: () => void;
	/** What was pinned when the directory was opened, as `links/NAME` or `maps/NAME`. */
	#found: ReadonlySet<string>;
	#lock: number;
	/** An open descriptor of the parent directory: no mount can hide the directory from it. */
	#parent: number;
	#adopted: boolean;

	private constructor(native: Native, root: string, lock: number, undoSetup: () => void) {
		this.root = root;
		this.#native = native;
		this.#undoSetup = undoSetup;
		this.#lock = lock;
		this.#parent = openDirectory(dirname(root));
		this.#found = new Set(this.#pinned());
		this.#adopted = readdirSync(this.maps).length > 0;
	}

	#at(...names: readonly string[]): string {
		return join(descriptorPath(this.#lock), ...names);
	}

	get #layout(): string {
		return this.#at(layoutName);
	}

	get maps(): string {
		return join(this.#layout, 'maps');
	}

	get links(): string {
		return join(this.#layout, 'links');
	}

	/** The directory of this layout, as an operator knows it. */
	get displayPath(): string {
		return join(this.root, layoutName);
	}

	#pinned(): string[] {
		return ['links', 'maps'].flatMap((part) => readdirSync(join(this.#layout, part)).map((name) => join(part, name)));
	}

	/**
	 * False: the path leads elsewhere, because another mount hides the directory or another process
	 * moved it.
	 */
	get isReachable(): boolean {
		return isSame(fstatSync(this.#lock), statSync(this.root, { throwIfNoEntry: false }));
	}

	/** Whether another process has removed the directory, or one in it. */
	get isRemoved(): boolean {
		return fstatSync(this.#lock).nlink === 0 || !existsSync(this.maps) || !existsSync(this.links);
	}

	/**
	 * Recreates the directories that another process removed; they are empty then. As long as the
	 * directory itself exists, this daemon holds its lock, and a second lock would conflict with it
	 * (flock(2)); a directory that is created again has no lock yet.
	 * @throws {ToascopeError} as open() does
	 */
	recreate(): void {
		if (fstatSync(this.#lock).nlink !== 0) {
			makeParts(this.#lock, this.root, []);
			return;
		}
		const lock = acquireLock(this.#native, this.root, [], undefined);
		closeSync(this.#lock);
		closeSync(this.#parent);
		this.#lock = lock;
		this.#parent = openDirectory(dirname(this.root));
	}

	/**
	 * Mounts bpffs if it is missing, creates the directories and takes the lock. Leaves nothing
	 * behind when it throws.
	 * @throws {ToascopeError} CONFIG_INVALID (other programs pin there too), NO_BPFFS,
	 * NO_PRIVILEGE, ALREADY_RUNNING
	 */
	static open(native: Native, root: string, log?: LogSink): Pins {
		const mounted = ensureBpffs(native, root);
		const created: string[] = [];
		const undoSetup = () => {
			removeDirectories(created);
			if (mounted !== undefined) unmountBpffs(native, mounted);
		};
		let lock = -1;
		try {
			lock = acquireLock(native, root, created, log);
			if (log !== undefined) warnOpenDirectory(root, log);
			return new Pins(native, root, lock, undoSetup);
		} catch (error) {
			// before unlocking, while no other process can use it
			undoSetup();
			if (lock >= 0) closeSync(lock);
			throw error instanceof ToascopeError ? error : unusable(root, error);
		}
	}

	/**
	 * Throws if another process holds the lock at this moment, as far as this process can tell.
	 * @throws {ToascopeError} ALREADY_RUNNING, CONFIG_INVALID (other programs pin there too)
	 */
	static requireFree(native: Native, root: string): void {
		requireNotMountPoint(findBpffs(readMounts(), root), root);
		let lock: number;
		try {
			lock = native.lock(root);
		} catch {
			// the directory does not exist, or open() reports better what is wrong with it
			return;
		}
		if (lock < 0) throw alreadyRunning(root);
		closeSync(lock);
	}

	/** The directory with the links of this layout, below a directory of pins. */
	static linksIn(root: string): string {
		return join(root, layoutName, 'links');
	}

	link(program: string): string {
		return join(this.links, program);
	}

	map(name: string): string {
		return join(this.maps, name);
	}

	/**
	 * What keeps the next daemon from finding the pins; undefined: nothing, the path leads to them.
	 */
	get unreachableReason(): string | undefined {
		if (this.isRemoved) return `the directory of pins ${this.displayPath} was removed`;
		return this.isReachable ? undefined : `the directory of pins ${this.displayPath} ${hiddenOrMoved}`;
	}

	/** True: an earlier daemon left its state here, and it was not cleared. */
	get adopted(): boolean {
		return this.#adopted;
	}

	/** Marks the state as adopted: it now contains the counts of an earlier daemon. */
	adopt(): void {
		this.#adopted = true;
	}

	/** Whether all of these maps and programs are pinned. */
	has(maps: readonly string[], programs: readonly string[]): boolean {
		const pins = [...maps.map((name) => join(this.maps, name)), ...programs.map((name) => this.link(name))];
		return pins.every((pin) => existsSync(pin));
	}

	/** Detaches and unpins what an earlier daemon needed and this one does not. */
	unlinkOthers(maps: readonly string[], programs: ReadonlySet<string>): void {
		const unwanted = readdirSync(this.links).filter((name) => !programs.has(name));
		this.#detach(unwanted.map((name) => this.link(name)));
		for (const name of readdirSync(this.maps)) if (!maps.includes(name)) unlinkSync(join(this.maps, name));
	}

	/**
	 * Detaches all links of each layout that has a link of one of these programs, and keeps the
	 * counters.
	 */
	detachLinksWith(programs: readonly string[]): void {
		for (const layout of readdirSync(this.#at()).filter(isLayout)) {
			const links = this.linksOf(layout);
			if (links.some((link) => programs.includes(basename(link)))) this.#detach(links);
		}
	}

	/**
	 * Detaches links explicitly before it removes their pins, because removing a pin can be
	 * refused.
	 */
	#detach(links: readonly string[]): void {
		if (links.length === 0) return;
		this.#native.detachLinks(links);
		for (const link of links) unlinkSync(link);
	}

	/**
	 * The layouts that other versions left, or this one with maps of other sizes, the latest first.
	 */
	get otherLayouts(): readonly string[] {
		const others = readdirSync(this.#at()).filter((name) => isLayout(name) && name !== layoutName);
		return others.sort((a, b) => versionOf(b) - versionOf(a));
	}

	mapsOf(layout: string): string {
		return this.#at(layout, 'maps');
	}

	/** The paths of the pinned links. */
	linksOf(layout: string): readonly string[] {
		const directory = this.#at(layout, 'links');
		return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
	}

	/**
	 * Detaches the links of another layout. When it returns, none of their programs is running any
	 * more.
	 */
	detachLinksOf(layout: string): void {
		this.#detach(this.linksOf(layout));
	}

	/** Detaches and unpins everything of other layouts. */
	removeOtherLayouts(): void {
		for (const name of this.otherLayouts) {
			const layout = this.#at(name);
			this.detachLinksOf(name);
			for (const part of ['links', 'maps'].map((each) => join(layout, each)).filter((each) => existsSync(each))) {
				for (const pin of readdirSync(part)) unlinkSync(join(part, pin));
				rmdirSync(part);
			}
			rmdirSync(layout);
		}
	}

	/**
	 * Unpins what was pinned since the directory was opened. The caller has closed the object, so
	 * links detach with their pins.
	 */
	unpinNew(): void {
		for (const pin of this.#pinned()) if (!this.#found.has(pin)) unlinkSync(join(this.#layout, pin));
	}

	/**
	 * Moves the pins to another layout's directory: the programs count until the counters are
	 * migrated.
	 */
	setAside(): void {
		// no later start would migrate these: remove them
		this.removeOtherLayouts();
		renameSync(this.#layout, this.#at(asideName));
		for (const directory of [this.#layout, this.maps, this.links]) mkdirSync(directory, 0o700);
		this.#found = new Set();
		this.#adopted = false;
	}

	/** Detaches and unpins everything: the counters start from zero. */
	clear(): void {
		this.#detach(readdirSync(this.links).map((name) => this.link(name)));
		for (const name of readdirSync(this.maps)) unlinkSync(this.map(name));
		this.#adopted = false;
	}

	/** Removes the directory itself through its parent, because its path can lead elsewhere. */
	#removeDirectories(): void {
		removeDirectories([this.#layout, this.maps, this.links]);
		const here = join(descriptorPath(this.#parent), basename(this.root));
		if (isSame(fstatSync(this.#lock), lstatSync(here, { throwIfNoEntry: false }))) removeDirectories([here]);
	}

	/**
	 * Releases the lock. With `keep` everything stays pinned; otherwise nothing is left, not even
	 * the mount.
	 * @param attached the programs that are still attached because their pins could not be removed
	 * @throws {ToascopeError} NO_BPFFS if the pins cannot be removed
	 */
	close(keep: boolean, attached: readonly string[] = []): void {
		if (this.#lock < 0) return;
		try {
			if (!keep && !this.isRemoved) {
				this.clear();
				this.#removeDirectories();
			}
			if (!keep) this.#undoSetup();
		} catch (cause) {
			const left = attached.length === 0 ? 'no program is attached any more' : `still attached: ${attached.join(', ')}`;
			throw new ToascopeError('NO_BPFFS', `cannot remove the pins in ${this.displayPath}: ${reasonOf(cause)}`, {
				hint: `${left}; once the bpffs is writable again: rm -r ${this.displayPath}`,
				cause,
			});
		} finally {
			closeSync(this.#lock);
			closeSync(this.#parent);
			this.#lock = -1;
		}
	}
}

function unusable(root: string, cause: unknown): ToascopeError {
	const { code } = cause as NodeJS.ErrnoException;
	if (code === 'EACCES') {
		return new ToascopeError('NO_PRIVILEGE', `cannot use ${root}: permission denied`, {
			hint: 'run it as the user that owns the directory, or set bpf.pin to another directory on a bpffs, or to off',
			cause,
		});
	}
	return new ToascopeError('NO_BPFFS', `cannot create ${root}: ${reasonOf(cause)}`, {
		hint: 'set bpf.pin to a directory on a writable bpffs (names there cannot contain a dot), or to off',
		cause,
	});
}
