// SPDX-License-Identifier: Apache-2.0
/**
 * Where the kernel state outlives the daemon: a directory under bpffs, in it one for the layout of
 * the records, in it `maps` and `links`. The directory's lock belongs to the daemon that runs.
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
import { reasonOf, removeDirectories } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import type { LogSink } from '../log_lines.ts';
import { ensureBpffs, refuseMount, unmountBpffs } from './bpffs.ts';
import { findBpffs, readMounts } from './mounts.ts';
import type { Native } from './native.ts';
import { descriptorPath, isSame, openDirectory } from './pin_directory.ts';
import { alreadyRunning, layoutName, makeParts, takeLock, tellOpen } from './pin_lock.ts';

/** Of this layout, but with maps of other sizes. */
const asideName = `${layoutName}-before`;

const isLayout = (name: string) => /^v\d+(-before)?$/.test(name);
/** The later, the larger. */
const ageOf = (layout: string) => Number.parseInt(layout.slice(1), 10);

export class Pins {
	/** As an operator knows it: what of it is pinned is reached by the lock's descriptor, whatever its path leads to. */
	readonly root: string;
	readonly #native: Native;
	/** Takes away what was made to get here: directories, the mount. */
	readonly #leave: () => void;
	/** What was pinned when it was opened, as `links/NAME` or `maps/NAME`. */
	#found: ReadonlySet<string>;
	#lock: number;
	/** What the directory is in, open: the way to it that no mount can hide. */
	#above: number;
	#adopted: boolean;

	private constructor(native: Native, root: string, lock: number, leave: () => void) {
		this.root = root;
		this.#native = native;
		this.#leave = leave;
		this.#lock = lock;
		this.#above = openDirectory(dirname(root));
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
	get shown(): string {
		return join(this.root, layoutName);
	}

	#pinned(): string[] {
		return ['links', 'maps'].flatMap((part) => readdirSync(join(this.#layout, part)).map((name) => join(part, name)));
	}

	/** False: its path leads elsewhere, since another mount hides it, or somebody has moved it. */
	get inPlace(): boolean {
		return isSame(fstatSync(this.#lock), statSync(this.root, { throwIfNoEntry: false }));
	}

	/** Somebody has removed the directory itself. */
	get removed(): boolean {
		return fstatSync(this.#lock).nlink === 0 || !existsSync(this.maps) || !existsSync(this.links);
	}

	/**
	 * Makes what was removed anew: nothing is pinned there then. While the directory itself is there its lock is this daemon's,
	 * and a second one would conflict with it (flock(2)); a directory that is made anew has none yet.
	 * @throws {ToascopeError} as open() does
	 */
	remake(): void {
		if (fstatSync(this.#lock).nlink !== 0) {
			makeParts(this.#lock, this.root, []);
			return;
		}
		const lock = takeLock(this.#native, this.root, [], undefined);
		closeSync(this.#lock);
		closeSync(this.#above);
		this.#lock = lock;
		this.#above = openDirectory(dirname(this.root));
	}

	/**
	 * Mounts bpffs where it is missing, makes the directories and takes the lock. Nothing of that is left when it throws.
	 * @throws {ToascopeError} CONFIG_INVALID (others pin there as well), NO_BPFFS, NO_PRIVILEGE, ALREADY_RUNNING
	 */
	static open(native: Native, root: string, log?: LogSink): Pins {
		const mounted = ensureBpffs(native, root);
		const made: string[] = [];
		const leave = () => {
			removeDirectories(made);
			if (mounted !== undefined) unmountBpffs(native, mounted);
		};
		let lock = -1;
		try {
			lock = takeLock(native, root, made, log);
			if (log !== undefined) tellOpen(root, log);
			return new Pins(native, root, lock, leave);
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

	map(name: string): string {
		return join(this.maps, name);
	}

	/** What keeps the next daemon from finding what is pinned; undefined: its path leads to the pins. */
	get unreachable(): string | undefined {
		if (this.removed) return `the directory of pins ${this.shown} was removed`;
		return this.inPlace ? undefined : `the directory of pins ${this.shown} is hidden by another mount, or was moved`;
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
		const unwanted = readdirSync(this.links).filter((name) => !programs.has(name));
		this.#detach(unwanted.map((name) => this.link(name)));
		for (const name of readdirSync(this.maps)) if (!maps.includes(name)) unlinkSync(join(this.maps, name));
	}

	/** Detaches all where one of these programs is, in each layout, and keeps the counters. */
	dropLinksWith(programs: readonly string[]): void {
		for (const layout of readdirSync(this.#at()).filter(isLayout)) {
			const links = this.linksOf(layout);
			if (links.some((link) => programs.includes(basename(link)))) this.#detach(links);
		}
	}

	/** A link to a cgroup is detached as such: its pin may be refused to be taken away. */
	#detach(links: readonly string[]): void {
		if (links.length === 0) return;
		this.#native.detachLinks(links);
		for (const link of links) unlinkSync(link);
	}

	/** What versions with other layouts of the records left, or this one with maps of other sizes, the latest first. */
	get otherLayouts(): readonly string[] {
		const others = readdirSync(this.#at()).filter((name) => isLayout(name) && name !== layoutName);
		return others.sort((a, b) => ageOf(b) - ageOf(a));
	}

	mapsOf(layout: string): string {
		return this.#at(layout, 'maps');
	}

	/** Paths of the pins. */
	linksOf(layout: string): readonly string[] {
		const directory = this.#at(layout, 'links');
		return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
	}

	/** None of their programs runs any more when it returns. */
	dropLinksOf(layout: string): void {
		this.#detach(this.linksOf(layout));
	}

	/** Detaches and forgets all of other layouts. */
	dropOtherLayouts(): void {
		for (const name of this.otherLayouts) {
			const layout = this.#at(name);
			this.dropLinksOf(name);
			for (const part of ['links', 'maps'].map((each) => join(layout, each)).filter((each) => existsSync(each))) {
				for (const pin of readdirSync(part)) unlinkSync(join(part, pin));
				rmdirSync(part);
			}
			rmdirSync(layout);
		}
	}

	/** Detaches and forgets what was pinned since it was opened. */
	dropNew(): void {
		for (const pin of this.#pinned()) if (!this.#found.has(pin)) unlinkSync(join(this.#layout, pin));
	}

	/** What is pinned goes on as that of another layout: it counts until it is taken over. */
	setAside(): void {
		// nobody has been left to take these over
		this.dropOtherLayouts();
		renameSync(this.#layout, this.#at(asideName));
		for (const directory of [this.#layout, this.maps, this.links]) mkdirSync(directory, 0o700);
		this.#found = new Set();
		this.#adopted = false;
	}

	/** Forgets what is pinned: the counters start from zero. */
	clear(): void {
		this.#detach(readdirSync(this.links).map((name) => this.link(name)));
		for (const name of readdirSync(this.maps)) unlinkSync(this.map(name));
		this.#adopted = false;
	}

	/** The directory itself goes by what it is in: its path may lead elsewhere. */
	#removeDirectories(): void {
		removeDirectories([this.#layout, this.maps, this.links]);
		const here = join(descriptorPath(this.#above), basename(this.root));
		if (isSame(fstatSync(this.#lock), lstatSync(here, { throwIfNoEntry: false }))) removeDirectories([here]);
	}

	/**
	 * Gives the lock back. With `keep` everything stays pinned, else nothing is left, the mount neither.
	 * @param attached programs that are attached still, since their pins could not be taken away
	 * @throws {ToascopeError} NO_BPFFS where the pins cannot be taken away
	 */
	close(keep: boolean, attached: readonly string[] = []): void {
		if (this.#lock < 0) return;
		try {
			if (!keep && !this.removed) {
				this.clear();
				this.#removeDirectories();
			}
			if (!keep) this.#leave();
		} catch (cause) {
			const left = attached.length === 0 ? 'no program is attached any more' : `still attached: ${attached.join(', ')}`;
			throw new ToascopeError('NO_BPFFS', `cannot take away the pins in ${this.shown}: ${reasonOf(cause)}`, {
				hint: `${left}; when it can be written again: rm -r ${this.shown}`,
				cause,
			});
		} finally {
			closeSync(this.#lock);
			closeSync(this.#above);
			this.#lock = -1;
		}
	}
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
