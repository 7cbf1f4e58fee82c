// SPDX-License-Identifier: Apache-2.0
/**
 * Finds other programs on the hooks of toascope, at the cgroup, above it and below it: those of
 * other daemons, those that an earlier daemon left where no path leads to its pins any more, and
 * those of other software.
 */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type AttachedProgram, type Field, native, type PinnedMap } from '../../native/binding.ts';
import type { Config } from '../config/config.ts';
import { findCgroup2, readMounts } from '../host/mounts.ts';
import { isInitialPidNamespace } from '../host/pid_namespace.ts';
import { findHolders, type Holders } from '../host/program_holders.ts';
import { formatAddress } from '../model/address.ts';
import { portBitsLayout } from './records/layout.gen.ts';
import { encodePorts } from './settings.ts';

/** A program, and the cgroup that it is attached to. */
export interface FoundProgram extends AttachedProgram {
	readonly cgroup: string;
}

/** The programs of another toascope at one cgroup. */
export interface OtherToascope {
	readonly cgroup: string;
	readonly programs: readonly FoundProgram[];
	/**
	 * The processes that hold them; none: a daemon left them behind. Undefined: not all processes
	 * of the host can be inspected from here.
	 */
	readonly pids: readonly number[] | undefined;
	/**
	 * The networks that it trusts, sorted; empty: it trusts every sender. Undefined: the kernel
	 * does not show this to this process.
	 */
	readonly trust: readonly string[] | undefined;
}

export interface Neighbours {
	readonly toascopes: readonly OtherToascope[];
	readonly others: readonly FoundProgram[];
	/**
	 * Other programs whose names are hidden: the kernel shows names only to CAP_SYS_ADMIN, so any
	 * of them can belong to a toascope.
	 */
	readonly unnamed: readonly FoundProgram[];
}

/**
 * The most cgroups that are searched below the given one: a host has hundreds, and each requires
 * four queries.
 */
const cgroupsMax = 10_000;

/** Names are truncated by the kernel, so only the prefix is compared. */
const isToascope = ({ name }: AttachedProgram) => name.startsWith('toascope_');

/**
 * Finds the programs of other processes. `own`: the programs of this daemon, or of the one that is
 * running. Programs whose names are hidden, since the kernel shows names only to CAP_SYS_ADMIN, are
 * only in `unnamed`. Daemons that watch none of the ports of `config` are left out.
 * @throws {NativeError} EPERM without CAP_NET_ADMIN
 */
function* findAllPrograms(cgroup: string, own: ReadonlySet<number>, config: Config): Generator<void, Neighbours> {
	const found: FoundProgram[] = [];
	for (const directory of [...above(cgroup), ...(yield* below(cgroup))]) {
		found.push(...attachedAt(directory));
		yield;
	}
	const foreign = found.filter(({ id }) => !own.has(id));
	const toascopes = foreign.filter(isToascope);
	const canInspect = toascopes.length > 0 && isInitialPidNamespace();
	const holders = canInspect ? yield* findHolders(new Set(toascopes.map(({ id }) => id))) : undefined;
	const groups = Map.groupBy(toascopes, ({ id, cgroup: at }) => `${native().programMaps(id)['settings'] ?? ''} ${at}`);
	return {
		toascopes: [...groups.values()]
			.filter(([program]) => sharesPorts(program?.id ?? 0, config))
			.map((programs) => ({
				cgroup: programs[0]?.cgroup ?? cgroup,
				programs,
				pids: pidsOf(programs, holders),
				trust: trustOf(programs[0]?.id ?? 0),
			})),
		others: foreign.filter((program) => program.name !== '' && !isToascope(program)),
		unnamed: foreign.filter(({ name }) => name === ''),
	};
}

/**
 * The processes that hold one of the programs; undefined if none was found, and not all processes
 * could be inspected.
 */
function pidsOf(programs: readonly FoundProgram[], holders: Holders | undefined): readonly number[] | undefined {
	const each = programs.map(({ id }) => holders?.of(id));
	const pids = [...new Set(each.flatMap((found) => found ?? []))];
	return pids.length === 0 && each.includes(undefined) ? undefined : pids;
}

/**
 * Finds neighbours for reports: undefined if this process lacks the permission. Programs that are
 * pinned below `pin` are not neighbours. `cgroup` undefined: the root. Yields after each cgroup and
 * each process: drive it with inOneGo() or runInSlices().
 */
export function* findNeighbours(
	cgroup: string | undefined,
	own: readonly number[],
	pin: string | undefined,
	config: Config,
): Generator<void, Neighbours | undefined> {
	const at = cgroup ?? findCgroup2(readMounts());
	if (at === undefined) return undefined;
	try {
		return yield* findAllPrograms(at, new Set([...own, ...(pin === undefined ? [] : pinnedPrograms(pin))]), config);
	} catch {
		return undefined;
	}
}

/**
 * Runs a generator to its end without yielding: for commands, which serve nothing else meanwhile.
 */
export function inOneGo<T>(steps: Generator<void, T>): T {
	for (;;) {
		const { done, value } = steps.next();
		if (done === true) return value;
	}
}

/**
 * Runs a generator to its end, and yields to the event loop after each step. If `yieldLoop`
 * rejects, the rest is skipped.
 */
export async function runInSlices<T>(steps: Generator<void, T>, yieldLoop: () => Promise<void>): Promise<T> {
	for (;;) {
		const { done, value } = steps.next();
		if (done === true) return value;
		await yieldLoop();
	}
}

/** The programs whose links are pinned, of every layout. */
function pinnedPrograms(pin: string): number[] {
	const links = subdirectories(pin).flatMap((layout) => entriesOf(join(layout, 'links')));
	const pinned = new Set(links.map((link) => native().pinnedId(link)));
	return native()
		.attachedLinks()
		.filter(({ id }) => pinned.has(id))
		.map(({ programId }) => programId);
}

function entriesOf(directory: string): string[] {
	try {
		return readdirSync(directory).map((name) => join(directory, name));
	} catch {
		return [];
	}
}

/** The cgroup and its ancestors up to the mount: their programs run for its sockets too. */
function above(cgroup: string): string[] {
	const root = findCgroup2(readMounts()) ?? cgroup;
	const chain = [cgroup];
	for (let path = cgroup; path !== root && path.startsWith(`${root}/`); ) {
		path = dirname(path);
		chain.push(path);
	}
	return chain;
}

function* below(cgroup: string): Generator<void, string[]> {
	const found: string[] = [];
	for (let at = -1; at < found.length && found.length < cgroupsMax; at++) {
		const directory = at < 0 ? cgroup : (found[at] as string);
		found.push(...subdirectories(directory));
		yield;
	}
	return found;
}

/** Returns none if the directory cannot be read: a cgroup can be removed at any moment. */
function subdirectories(directory: string): string[] {
	try {
		const entries = readdirSync(directory, { withFileTypes: true });
		return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(directory, name));
	} catch {
		return [];
	}
}

function attachedAt(cgroup: string): FoundProgram[] {
	try {
		return native()
			.attachedPrograms(cgroup)
			.map((program) => ({ ...program, cgroup }));
	} catch (error) {
		if (['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
		throw error;
	}
}

/**
 * A map of a program, and the generation that is in force; undefined: the kernel does not show it
 * to this process.
 */
function inForce(program: number, name: string): { readonly map: PinnedMap; readonly generation: number } | undefined {
	const maps = native().programMaps(program);
	const [generation, map] = [maps['generation'], maps[name]];
	if (generation === undefined || map === undefined) return undefined;
	try {
		return { map: native().mapById(map), generation: native().mapById(generation).values.readUInt32LE(0) };
	} catch {
		return undefined; // removed meanwhile
	}
}

/** Whether another daemon watches one of our ports, as far as its map can be read. */
function sharesPorts(program: number, config: Config): boolean {
	const found = inForce(program, 'ports');
	const at = found?.map.value.find(({ name }) => name === 'watched')?.offset;
	if (found === undefined || at === undefined) return true;
	const { values, valueSize, entries } = found.map;
	const [own, words] = [encodePorts(config), entries / 2];
	const first = (found.generation & 1) * words;
	return Array.from({ length: words }, (_, index) => index).some((index) => {
		const theirs = values.readBigUInt64LE((first + index) * valueSize + at);
		return (theirs & own.readBigUInt64LE(index * portBitsLayout.size + portBitsLayout.watched)) !== 0n;
	});
}

/**
 * Reads the trusted networks of another daemon. Fields are found by the names that the kernel keeps
 * with the maps: another version can have another layout.
 */
function trustOf(program: number): readonly string[] | undefined {
	const [settings, trust] = [inForce(program, 'settings'), inForce(program, 'trust')];
	if (settings === undefined || trust === undefined) return undefined;
	try {
		const { map, generation } = settings;
		const any = map.values[(generation & 1) * map.valueSize + offsetOf(map.value, 'trust_any')];
		return any === 1 ? [] : networks(trust.map, generation);
	} catch {
		return undefined; // a version with other fields
	}
}

function networks({ keys, keySize, entries, key }: PinnedMap, generation: number): string[] {
	const [length, generationAt, family, address] = ['prefix_length', 'generation', 'family', 'address'].map((name) =>
		offsetOf(key, name),
	) as [number, number, number, number];
	const all = Array.from({ length: entries }, (_, index) => keys.subarray(index * keySize, (index + 1) * keySize));
	return all
		.filter((bytes) => bytes.readUInt32LE(generationAt) === generation)
		.map((bytes) => {
			const text = formatAddress(bytes.readUInt32LE(family) === 4 ? 4 : 6, bytes.subarray(address, address + 16));
			// generation and family, 64 bits, precede the address
			return `${text}/${bytes.readUInt32LE(length) - 64}`;
		})
		.toSorted();
}

function offsetOf(fields: readonly Field[], name: string): number {
	const found = fields.find((field) => field.name === name);
	if (found === undefined) throw new Error(`no field ${name}`);
	return found.offset;
}
