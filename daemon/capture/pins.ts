// SPDX-License-Identifier: Apache-2.0
/**
 * Where the kernel state outlives the daemon: a directory under bpffs, in it one for the layout of
 * the records, in it `maps` and `links`. The directory's lock belongs to the daemon that runs.
 */
import {
	closeSync,
	existsSync,
	fstatSync,
	mkdirSync,
	readdirSync,
	renameSync,
	rmdirSync,
	statSync,
	unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { makeDirectories, reasonOf, removeDirectories } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { ensureBpffs, refuseMount, unmountBpffs } from './bpffs.ts';
import { limit } from './layout.gen.ts';
import { lockHolder } from './lock_holder.ts';
import { findBpffs, readMounts } from './mounts.ts';
import type { Native, NativeError } from './native.ts';

const layoutName = `v${limit.TOASCOPE_LAYOUT}`;

/** Of this layout, but with maps of other sizes. */
const asideName = `${layoutName}-before`;

const isLayout = (name: string) => /^v\d+(-before)?$/.test(name);
/** The later, the larger. */
const ageOf = (layout: string) => Number.parseInt(layout.slice(1), 10);

export class Pins {
	readonly maps: string;
	readonly links: string;
	readonly #root: string;
	readonly #layout: string;
	/** Takes away what was made to get here: directories, the mount. */
	readonly #leave: () => void;
	/** Paths of what was pinned when it was opened. */
	#found: ReadonlySet<string>;
	#lock: number;
	#adopted: boolean;

	private constructor(root: string, lock: number, leave: () => void) {
		this.#root = root;
		this.#leave = leave;
		this.#lock = lock;
		this.#layout = join(root, layoutName);
		this.maps = join(this.#layout, 'maps');
		this.links = Pins.linksIn(root);
		this.#found = new Set(this.#pinned());
		this.#adopted = readdirSync(this.maps).length > 0;
	}

	#pinned(): string[] {
		return [this.links, this.maps].flatMap((directory) => readdirSync(directory).map((name) => join(directory, name)));
	}

	/**
	 * Mounts bpffs where it is missing, makes the directories and takes the lock. Nothing of that is left when it throws.
	 * @throws {ToascopeError} CONFIG_INVALID (others pin there as well), NO_BPFFS, NO_PRIVILEGE, ALREADY_RUNNING
	 */
	static open(native: Native, root: string): Pins {
		const mounted = ensureBpffs(native, root);
		const made: string[] = [];
		const leave = () => {
			removeDirectories(made);
			if (mounted) unmountBpffs(native);
		};
		let lock = -1;
		try {
			lock = takeLock(native, root, made);
			return new Pins(root, lock, leave);
		} catch (error) {
			// while nobody else can be in there
			leave();
			if (lock >= 0) closeSync(lock);
			throw error instanceof ToascopeError ? error : unusable(root, error);
		}
	}

	/**
	 * Nobody has the lock at this moment, as far as this process can tell.
	 * @throws {ToascopeError} ALREADY_RUNNING, CONFIG_INVALID (others pin there as well)
	 */
	static requireFree(native: Native, root: string): void {
		refuseMount(findBpffs(readMounts(), root), root);
		let lock: number;
		try {
			lock = native.lock(root);
		} catch {
			// it is not there, or open() says better what is wrong with it
			return;
		}
		if (lock < 0) throw alreadyRunning(root);
		closeSync(lock);
	}

	/** Where the links are that this layout has below a directory of pins. */
	static linksIn(root: string): string {
		return join(root, layoutName, 'links');
	}

	link(program: string): string {
		return join(this.links, program);
	}

	/** True: a daemon before this one left its state here, and it was not cleared. */
	get adopted(): boolean {
		return this.#adopted;
	}

	/** From now on it has what a daemon before this one counted. */
	adopt(): void {
		this.#adopted = true;
	}

	/** Whether all of these are pinned. */
	has(maps: readonly string[], programs: readonly string[]): boolean {
		const pins = [...maps.map((name) => join(this.maps, name)), ...programs.map((name) => this.link(name))];
		return pins.every((pin) => existsSync(pin));
	}

	/** Detaches and forgets what an earlier daemon needed and this one does not. */
	unlinkOthers(maps: readonly string[], programs: ReadonlySet<string>): void {
		for (const name of readdirSync(this.links)) if (!programs.has(name)) unlinkSync(this.link(name));
		for (const name of readdirSync(this.maps)) if (!maps.includes(name)) unlinkSync(join(this.maps, name));
	}

	/** Detaches all where one of these programs is, in each layout, and keeps the counters. */
	dropLinksWith(programs: readonly string[]): void {
		for (const layout of readdirSync(this.#root).filter(isLayout)) {
			const directory = join(this.#root, layout, 'links');
			const links = existsSync(directory) ? readdirSync(directory) : [];
			if (links.some((name) => programs.includes(name))) for (const name of links) unlinkSync(join(directory, name));
		}
	}

	/** What versions with other layouts of the records left, or this one with maps of other sizes, the latest first. */
	get otherLayouts(): readonly string[] {
		const others = readdirSync(this.#root).filter((name) => isLayout(name) && name !== layoutName);
		return others.sort((a, b) => ageOf(b) - ageOf(a));
	}

	mapsOf(layout: string): string {
		return join(this.#root, layout, 'maps');
	}

	/** Paths of the pins. */
	linksOf(layout: string): readonly string[] {
		const directory = join(this.#root, layout, 'links');
		return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
	}

	dropLinksOf(layout: string): void {
		for (const pin of this.linksOf(layout)) unlinkSync(pin);
	}

	/** Detaches and forgets all of other layouts. */
	dropOtherLayouts(): void {
		for (const name of this.otherLayouts) {
			const layout = join(this.#root, name);
			for (const part of ['links', 'maps'].map((each) => join(layout, each)).filter((each) => existsSync(each))) {
				for (const pin of readdirSync(part)) unlinkSync(join(part, pin));
				rmdirSync(part);
			}
			rmdirSync(layout);
		}
	}

	/** Detaches and forgets what was pinned since it was opened. */
	dropNew(): void {
		for (const pin of this.#pinned()) if (!this.#found.has(pin)) unlinkSync(pin);
	}

	/** What is pinned goes on as that of another layout: it counts until it is taken over. */
	setAside(): void {
		// nobody has been left to take these over
		this.dropOtherLayouts();
		renameSync(this.#layout, join(this.#root, asideName));
		for (const directory of [this.#layout, this.maps, this.links]) mkdirSync(directory, 0o700);
		this.#found = new Set();
		this.#adopted = false;
	}

	/** Forgets what is pinned: the counters start from zero. */
	clear(): void {
		for (const pin of this.#pinned()) unlinkSync(pin);
		this.#adopted = false;
	}

	/**
	 * Gives the lock back. With `keep` everything stays pinned, else nothing is left, the mount neither.
	 * @throws {ToascopeError} NO_BPFFS where the pins cannot be taken away: what they hold stays attached
	 */
	close(keep: boolean): void {
		if (this.#lock < 0) return;
		try {
			if (!keep) {
				this.clear();
				removeDirectories([this.#root, this.#layout, this.maps, this.links]);
				this.#leave();
			}
		} catch (cause) {
			throw new ToascopeError('NO_BPFFS', `cannot take away the pins in ${this.#layout}: ${reasonOf(cause)}`, {
				hint: `what is pinned there stays attached; when it can be written again: rm -r ${this.#layout}`,
				cause,
			});
		} finally {
			closeSync(this.#lock);
			this.#lock = -1;
		}
	}
}

/**
 * Makes the directories and takes the lock. Others take away what they made, and is empty, when they end or are refused: the
 * directory that is locked may be gone from its place, or none may be there. Once something is in it, it stays.
 */
function takeLock(native: Native, root: string, made: string[]): number {
	for (;;) {
		makeDirectories(root, 0o700, made);
		let lock: number;
		try {
			lock = native.lock(root);
		} catch (error) {
			if ((error as NativeError).code === 'ENOENT') continue;
			throw error;
		}
		if (lock < 0) throw alreadyRunning(root);
		const inPlace = () => fstatSync(lock).ino === statSync(root, { throwIfNoEntry: false })?.ino;
		try {
			if (inPlace()) for (const part of ['maps', 'links']) makeDirectories(join(root, layoutName, part), 0o700, made);
			if (inPlace()) return lock;
		} catch (error) {
			closeSync(lock);
			throw error;
		}
		closeSync(lock);
	}
}

function alreadyRunning(root: string): ToascopeError {
	const pid = lockHolder(root);
	return new ToascopeError(
		'ALREADY_RUNNING',
		`another toascope${pid === undefined ? '' : ` (pid ${pid})`} has ${root}`,
		{
			hint: 'stop it first, or set bpf.pin to another directory',
		},
	);
}

function unusable(root: string, cause: unknown): ToascopeError {
	const { code } = cause as NodeJS.ErrnoException;
	if (code === 'EACCES') {
		return new ToascopeError('NO_PRIVILEGE', `may not use ${root}: permission denied`, {
			hint: 'run it as the user that the directory belongs to, or set bpf.pin to another directory on a bpffs, or to off',
			cause,
		});
	}
	return new ToascopeError('NO_BPFFS', `cannot make ${root}: ${reasonOf(cause)}`, {
		hint: 'set bpf.pin to a directory on a writable bpffs (names there have no dot), or to off',
		cause,
	});
}
