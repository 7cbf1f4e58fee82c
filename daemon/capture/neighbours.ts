// SPDX-License-Identifier: Apache-2.0
/**
 * Who else is attached on the hooks of toascope, at the cgroup, above it and below it: other daemons, what an earlier one left
 * where no path leads to its pins any more, and programs of others.
 */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../config/config.ts';
import { formatAddress } from '../model/address.ts';
import { portBitsLayout } from './layout.gen.ts';
import { findCgroup2, readMounts } from './mounts.ts';
import { type AttachedProgram, type Field, native, type PinnedMap } from './native.ts';
import { pidsAreKernels } from './pid_namespace.ts';
import { findHolders, type Holders } from './program_holders.ts';
import { encodePorts } from './settings.ts';

/** A program, and where it is attached. */
export interface Found extends AttachedProgram {
	readonly cgroup: string;
}

/** Another toascope's programs at one cgroup. */
export interface OtherToascope {
	readonly cgroup: string;
	readonly programs: readonly Found[];
	/** Processes that have them; none: a daemon left them. Undefined: not all processes of the host can be looked at from here. */
	readonly pids: readonly number[] | undefined;
	/** Networks that may send options to it, sorted; empty: every sender. Undefined: the kernel does not tell this process. */
	readonly trust: readonly string[] | undefined;
}

export interface Neighbours {
	readonly toascopes: readonly OtherToascope[];
	readonly others: readonly Found[];
	/** Programs of others without a name: the kernel tells it to CAP_SYS_ADMIN alone, so any of them may be a toascope. */
	readonly unnamed: readonly Found[];
}

/** Cgroups below the one that is asked for: a host has hundreds, and each is asked four times. */
const cgroupsMax = 10_000;

/** As the kernel cuts them. */
const isToascope = ({ name }: AttachedProgram) => name.startsWith('toascope_');

/**
 * `own`: the programs of this daemon, or of the one that runs. What has no name, since the kernel tells it to CAP_SYS_ADMIN alone,
 * is in `unnamed` alone; in no list are daemons that look at none of the ports of \`config\`.
 * @throws {NativeError} EPERM without CAP_NET_ADMIN
 */
function* findNeighbours(cgroup: string, own: ReadonlySet<number>, config: Config): Generator<void, Neighbours> {
	const found: Found[] = [];
	for (const directory of [...above(cgroup), ...(yield* below(cgroup))]) {
		found.push(...attachedAt(directory));
		yield;
	}
	const foreign = found.filter(({ id }) => !own.has(id));
	const theirs = foreign.filter(isToascope);
	const looks = theirs.length > 0 && pidsAreKernels();
	const holders = looks ? yield* findHolders(new Set(theirs.map(({ id }) => id))) : undefined;
	const groups = Map.groupBy(theirs, ({ id, cgroup: at }) => `${native().programMaps(id)['settings'] ?? ''} ${at}`);
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

/** Processes that have one of them; undefined where none is known to, and one may. */
function pidsOf(programs: readonly Found[], holders: Holders | undefined): readonly number[] | undefined {
	const each = programs.map(({ id }) => holders?.of(id));
	const pids = [...new Set(each.flatMap((found) => found ?? []))];
	return pids.length === 0 && each.includes(undefined) ? undefined : pids;
}

/**
 * For those that only look: none where this process may not ask. The programs that are pinned below `pin` are no neighbours.
 * `cgroup` undefined: the root. Yields after each cgroup and each process: drive it with inOneGo() or inTurns().
 */
export function* lookForNeighbours(
	cgroup: string | undefined,
	own: readonly number[],
	pin: string | undefined,
	config: Config,
): Generator<void, Neighbours | undefined> {
	const at = cgroup ?? findCgroup2(readMounts());
	if (at === undefined) return undefined;
	try {
		return yield* findNeighbours(at, new Set([...own, ...(pin === undefined ? [] : pinnedPrograms(pin))]), config);
	} catch {
		return undefined;
	}
}

/** For commands, which have nobody else to serve. */
export function inOneGo<T>(steps: Generator<void, T>): T {
	for (;;) {
		const { done, value } = steps.next();
		if (done === true) return value;
	}
}

/** Gives the event loop back after each step. `nextTurn` may reject: the rest is left out then. */
export async function inTurns<T>(steps: Generator<void, T>, nextTurn: () => Promise<void>): Promise<T> {
	for (;;) {
		const { done, value } = steps.next();
		if (done === true) return value;
		await nextTurn();
	}
}

/** Those whose links are pinned, of every layout. */
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

/** The cgroup, and those that it is in, up to the mount: their programs run for its sockets too. */
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

/** One may be removed at any moment. */
function subdirectories(directory: string): string[] {
	try {
		const entries = readdirSync(directory, { withFileTypes: true });
		return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(directory, name));
	} catch {
		return [];
	}
}

function attachedAt(cgroup: string): Found[] {
	try {
		return native()
			.attachedPrograms(cgroup)
			.map((program) => ({ ...program, cgroup }));
	} catch (error) {
		if (['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
		throw error;
	}
}

/** The map of a program, and which of its two halves is in force; undefined: the kernel does not tell this process. */
function inForce(program: number, name: string): { readonly map: PinnedMap; readonly generation: number } | undefined {
	const maps = native().programMaps(program);
	const [generation, map] = [maps['generation'], maps[name]];
	if (generation === undefined || map === undefined) return undefined;
	try {
		return { map: native().mapById(map), generation: native().mapById(generation).values.readUInt32LE(0) };
	} catch {
		return undefined; // gone meanwhile
	}
}

/** Whether another daemon looks at one of our ports, as far as that can be read. */
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

/** By the names that the kernel has with the maps: another version may have its records laid out otherwise. */
function trustOf(program: number): readonly string[] | undefined {
	const [settings, trust] = [inForce(program, 'settings'), inForce(program, 'trust')];
	if (settings === undefined || trust === undefined) return undefined;
	try {
		const { map, generation } = settings;
		const any = map.values[(generation & 1) * map.valueSize + offsetOf(map.value, 'trust_any')];
		return any === 1 ? [] : networks(trust.map, generation);
	} catch {
		return undefined; // of a version that has it otherwise
	}
}

function networks({ keys, keySize, entries, key }: PinnedMap, generation: number): string[] {
	const [length, of, family, address] = ['prefix_length', 'generation', 'family', 'address'].map((name) =>
		offsetOf(key, name),
	) as [number, number, number, number];
	const all = Array.from({ length: entries }, (_, index) => keys.subarray(index * keySize, (index + 1) * keySize));
	return all
		.filter((bytes) => bytes.readUInt32LE(of) === generation)
		.map((bytes) => {
			const text = formatAddress(bytes.readUInt32LE(family) === 4 ? 4 : 6, bytes.subarray(address, address + 16));
			// generation and family, 64 bits, stand before the address
			return `${text}/${bytes.readUInt32LE(length) - 64}`;
		})
		.toSorted();
}

function offsetOf(fields: readonly Field[], name: string): number {
	const found = fields.find((field) => field.name === name);
	if (found === undefined) throw new Error(`no field ${name}`);
	return found.offset;
}
