// SPDX-License-Identifier: Apache-2.0
/**
 * Checks who owns the directory of pins. On a bpffs that every user can write to, any user can
 * create a directory of that name first, and later rename what is in it. So each directory from the
 * mount on is checked through its descriptor, and no symbolic link is followed.
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
import { ToascopeError } from '../../errors.ts';
import { type LogSink, logLine } from '../../log_line.ts';
import { logLines } from '../../log_lines.ts';

/**
 * O_PATH of open(2), which Node.js does not define: the descriptor allows only to inspect the
 * directory and to reach what is in it.
 */
const pathOnly = 0o10000000;
const directoryOnly = pathOnly | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const writableByOthers = 0o022;
const writableByAll = 0o002;
const sticky = 0o1000;
/**
 * How often a directory of another user is moved aside before the start fails: its owner can create
 * it again at once.
 */
const movesMax = 16;

/**
 * The path of what a descriptor refers to. It does not depend on names, which other users can give
 * to something else.
 */
export const descriptorPath = (descriptor: number) => `/proc/self/fd/${descriptor}`;

/** Opens a directory with O_PATH. */
export function openDirectory(path: string): number {
	return openSync(path, pathOnly | constants.O_DIRECTORY);
}

export function isSame(one: Stats, other: Stats | undefined): boolean {
	return other !== undefined && one.ino === other.ino && one.dev === other.dev;
}

/** Something on the path of the pins that belongs to another user. */
interface OtherOwner {
	readonly path: string;
	readonly uid: number;
	/** An open descriptor of its parent directory. */
	readonly parent: number;
	readonly name: string;
	/** Every user can create files in the parent directory. */
	readonly anyUserCanCreate: boolean;
}

/** A path to check, and how errors name it. */
interface CheckedPath {
	/** Where it starts: the mount. */
	readonly from: string;
	/** The names of the directories below it. */
	readonly names: readonly string[];
	readonly displayPath: string;
}

/**
 * Follows the path. Returns the state of the last directory; undefined: it does not exist. Calls
 * `foreign` for what belongs to another user.
 */
function walk({ from, names, displayPath }: CheckedPath, foreign: (found: OtherOwner) => never): Stats | undefined {
	let parent = openDirectory(from);
	let path = displayPath;
	try {
		for (const [index, name] of names.entries()) {
			path = join(path, name);
			const found = lstatSync(join(descriptorPath(parent), name), { throwIfNoEntry: false });
			if (found === undefined) return undefined;
			const anyUserCanCreate = (fstatSync(parent).mode & writableByAll) !== 0;
			if (!isOwnOrRoot(found)) foreign({ path, uid: found.uid, parent, name, anyUserCanCreate });
			const next = openSync(join(descriptorPath(parent), name), directoryOnly);
			closeSync(parent);
			parent = next;
			const state = fstatSync(parent);
			if (!isOwnOrRoot(state)) throw notOurs(path, state.uid);
			const last = index === names.length - 1;
			if ((state.mode & writableByOthers) !== 0 && (last || (state.mode & sticky) === 0)) throw writable(path, state);
		}
		return fstatSync(parent);
	} finally {
		closeSync(parent);
	}
}

/** Whether the owner is this user or root. */
function isOwnOrRoot({ uid }: Stats): boolean {
	return uid === 0 || uid === process.geteuid?.();
}

/**
 * Returns the state of the directory at `root`; undefined: nothing is there. Each directory from
 * the mount on must belong to this user or to root, and must not be writable by others. What any
 * user can have created there is moved aside, and the log says so.
 * @throws {ToascopeError} NO_BPFFS if it belongs to another user, or others can write to it
 */
export function ownDirectory(mount: string, root: string, log?: LogSink): Stats | undefined {
	const path = { from: mount, names: relative(mount, root).split('/'), displayPath: mount };
	for (let moves = 0; ; moves++) {
		let moved = false;
		try {
			return walk(path, (found) => {
				if (!found.anyUserCanCreate || moves === movesMax) throw notOurs(found.path, found.uid);
				const to = moveAside(found);
				moved = true;
				if (log !== undefined) logLine(log, logLines.pinsMovedAside, { path: found.path, uid: found.uid, to });
				throw new Moved();
			});
		} catch (error) {
			if (!moved || !(error instanceof Moved)) throw error;
		}
	}
}

/**
 * Throws if a directory below an open one belongs to another user, or is writable by others.
 * `displayPath`: the path of the open directory, for error messages.
 * @throws {ToascopeError} NO_BPFFS
 */
export function requireOwn(descriptor: number, inside: string, displayPath: string): void {
	walk({ from: descriptorPath(descriptor), names: inside.split('/'), displayPath }, ({ path, uid }) => {
		throw notOurs(path, uid);
	});
}

/** Returns the mode of a directory, in octal, if other users can create files in it. */
export function openToOthers(path: string): string | undefined {
	const { mode } = statSync(path);
	return (mode & writableByOthers) === 0 ? undefined : (mode & 0o7777).toString(8);
}

/**
 * Throws if other users could rename the directory of pins and put another in its place, whatever
 * is checked below it: the owner of the mount can, and so can every user if the mount is writable
 * without the sticky bit. A mount that a group can write to does not prevent a start:
 * openToOthers() has it logged.
 * @throws {ToascopeError} NO_BPFFS
 */
export function requireOwnMount(mount: string): void {
	const state = statSync(mount);
	const octal = (state.mode & 0o7777).toString(8).padStart(4, '0');
	if (!isOwnOrRoot(state)) {
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
			`${mount} is writable by every user, without the sticky bit (mode ${octal}): any of them could rename the pins`,
			{
				hint: `chmod 0700 ${mount} (or 1777, if other users pin there too), or set bpf.pin to a directory on another bpffs`,
			},
		);
	}
}

class Moved extends Error {}

/**
 * Removes a directory of another user if it is empty, and otherwise gives it another name. Returns
 * that name.
 */
function moveAside({ parent, name, path, uid }: OtherOwner): string | undefined {
	const here = join(descriptorPath(parent), name);
	try {
		rmdirSync(here);
		return undefined;
	} catch {
		// not empty, or not a directory
	}
	// bpffs allows no dot in a name
	const other = `${name}-of-${uid}-${Date.now().toString(36)}`;
	try {
		renameSync(here, join(descriptorPath(parent), other));
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
			hint: `remove it (rm -r ${path}), or set bpf.pin to another directory; chmod 0700 on the mount keeps other users from creating one`,
			cause,
		},
	);
}

function writable(path: string, { mode }: Stats): ToascopeError {
	const octal = (mode & 0o7777).toString(8).padStart(4, '0');
	return new ToascopeError('NO_BPFFS', `${path} is writable by other users (mode ${octal})`, {
		hint: `chmod 0700 ${path}, or set bpf.pin to another directory`,
	});
}
