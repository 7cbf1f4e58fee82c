// SPDX-License-Identifier: Apache-2.0
/**
 * Whose is the directory of pins? On a bpffs that every user may write, anybody can make a directory of its name first, and
 * then rename what is in it. So each directory from the mount on is looked at by its descriptor, and no symbolic link is followed.
 */
import {
	closeSync,
	constants,
	fstatSync,
	lstatSync,
	openSync,
	renameSync,
	rmdirSync,
	type Stats,
	statSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { ToascopeError } from '../errors.ts';
import { type LogSink, logLines, tell } from '../log_lines.ts';

/** O_PATH of open(2), which Node.js does not name: a descriptor that is only to be looked at and gone on from. */
const pathOnly = 0o10000000;
const directoryOnly = pathOnly | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const writableByOthers = 0o022;
const writableByAll = 0o002;
const sticky = 0o1000;
/** How often a directory of others is moved out of the way before a start gives up: its owner may make it again at once. */
const movesMax = 16;

/** The way to what a descriptor is open on: not by names, which others may have given to something else. */
export const descriptorPath = (descriptor: number) => `/proc/self/fd/${descriptor}`;

/** A descriptor that is only to be looked at and gone on from. */
export function openDirectory(path: string): number {
	return openSync(path, pathOnly | constants.O_DIRECTORY);
}

export function isSame(one: Stats, other: Stats | undefined): boolean {
	return other !== undefined && one.ino === other.ino && one.dev === other.dev;
}

/** Something at the path of pins, or above it, that belongs to another user. */
interface Foreign {
	readonly path: string;
	readonly uid: number;
	/** The directory that it is in, open. */
	readonly above: number;
	readonly name: string;
	/** Every user may make something there. */
	readonly fromAnybody: boolean;
}

/** Where to look, and how errors name it. */
interface Way {
	/** Where it begins: the mount. */
	readonly from: string;
	/** The names that follow. */
	readonly names: readonly string[];
	readonly shown: string;
}

/** Follows the way. Returns what the last name is; undefined: not there. `foreign` is called for what belongs to others. */
function walk({ from, names, shown }: Way, foreign: (found: Foreign) => never): Stats | undefined {
	let above = openDirectory(from);
	let path = shown;
	try {
		for (const [index, name] of names.entries()) {
			path = join(path, name);
			const found = lstatSync(join(descriptorPath(above), name), { throwIfNoEntry: false });
			if (found === undefined) return undefined;
			const parent = fstatSync(above);
			const fromAnybody = (parent.mode & writableByAll) !== 0;
			if (!isTrusted(found)) foreign({ path, uid: found.uid, above, name, fromAnybody });
			const next = openSync(join(descriptorPath(above), name), directoryOnly);
			closeSync(above);
			above = next;
			const state = fstatSync(above);
			if (!isTrusted(state)) throw notOurs(path, state.uid);
			const last = index === names.length - 1;
			if ((state.mode & writableByOthers) !== 0 && (last || (state.mode & sticky) === 0)) throw writable(path, state);
		}
		return fstatSync(above);
	} finally {
		closeSync(above);
	}
}

/** This user's, or root's. */
function isTrusted({ uid }: Stats): boolean {
	return uid === 0 || uid === process.geteuid?.();
}

/**
 * The directory at `root`, where each directory from the mount on is this user's or root's, and no others may write it.
 * What anybody can have put there is moved out of the way, and the log says so. Undefined: nothing is there.
 * @throws {ToascopeError} NO_BPFFS, where it belongs to another user, or others may write it
 */
export function ownDirectory(mount: string, root: string, log?: LogSink): Stats | undefined {
	const way = { from: mount, names: relative(mount, root).split('/'), shown: mount };
	for (let moves = 0; ; moves++) {
		let moved = false;
		try {
			return walk(way, (found) => {
				if (!found.fromAnybody || moves === movesMax) throw notOurs(found.path, found.uid);
				const to = moveAway(found);
				moved = true;
				if (log !== undefined) tell(log, logLines.pinsMovedAway, { path: found.path, uid: found.uid, to });
				throw new Moved();
			});
		} catch (error) {
			if (!moved || !(error instanceof Moved)) throw error;
		}
	}
}

/**
 * Throws where a directory below one that is open belongs to others, or can be written by them. `shown`: the open one, for errors.
 * @throws {ToascopeError} NO_BPFFS
 */
export function requireOwn(descriptor: number, inside: string, shown: string): void {
	walk({ from: descriptorPath(descriptor), names: inside.split('/'), shown }, ({ path, uid }) => {
		throw notOurs(path, uid);
	});
}

/** Whether other users may make files in a directory. Returns its mode in octal then. */
export function openToOthers(path: string): string | undefined {
	const { mode } = statSync(path);
	return (mode & writableByOthers) === 0 ? undefined : (mode & 0o7777).toString(8);
}

/**
 * Whose mount is it? Its owner, and every user where it is writable without the sticky bit, could rename the directory of pins and
 * put another in its place, whatever is checked below it. Writable by a group is no reason not to start: openToOthers() has it logged.
 * @throws {ToascopeError} NO_BPFFS
 */
export function requireOwnMount(mount: string): void {
	const state = statSync(mount);
	const octal = (state.mode & 0o7777).toString(8).padStart(4, '0');
	if (!isTrusted(state)) {
		throw new ToascopeError(
			'NO_BPFFS',
			`${mount} belongs to user ${state.uid}, who could rename what is pinned there`,
			{
				hint: `chown root:root ${mount} && chmod 0700 ${mount}, or set bpf.pin to a directory on another bpffs`,
			},
		);
	}
	if ((state.mode & writableByAll) !== 0 && (state.mode & sticky) === 0) {
		throw new ToascopeError(
			'NO_BPFFS',
			`${mount} can be written by every user, without the sticky bit (mode ${octal}): any of them could rename the pins`,
			{
				hint: `chmod 0700 ${mount} (or 1777, where others pin there too), or set bpf.pin to a directory on another bpffs`,
			},
		);
	}
}

class Moved extends Error {}

/** An empty directory is removed; what has something in it gets another name. Returns that name. */
function moveAway({ above, name, path, uid }: Foreign): string | undefined {
	const here = join(descriptorPath(above), name);
	try {
		rmdirSync(here);
		return undefined;
	} catch {
		// not empty, or not a directory
	}
	// bpffs takes no dot in a name
	const other = `${name}-of-${uid}-${Date.now().toString(36)}`;
	try {
		renameSync(here, join(descriptorPath(above), other));
	} catch (cause) {
		throw notOurs(path, uid, cause);
	}
	return other;
}

function notOurs(path: string, uid: number, cause?: unknown): ToascopeError {
	return new ToascopeError(
		'NO_BPFFS',
		`${path} belongs to user ${uid}, who could detach or keep what is pinned there`,
		{
			hint: `remove it (rm -r ${path}), or set bpf.pin to another directory; on a bpffs for root alone nobody else makes one: chmod 0700 on the mount`,
			cause,
		},
	);
}

function writable(path: string, { mode }: Stats): ToascopeError {
	const octal = (mode & 0o7777).toString(8).padStart(4, '0');
	return new ToascopeError('NO_BPFFS', `${path} can be written by other users (mode ${octal})`, {
		hint: `chmod 0700 ${path}, or set bpf.pin to another directory`,
	});
}
