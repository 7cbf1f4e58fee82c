// SPDX-License-Identifier: Apache-2.0
/** The addon (native/), declared: nothing else in the daemon knows it. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { ToascopeError } from '../errors.ts';

/** What every failure of the addon is: `code` is errno's name ("EPERM"). */
export interface NativeError extends Error {
	readonly code: string;
	readonly errno: number;
	readonly op: string;
	readonly target: string;
	/** The verifier's last lines, when a program was refused at load. */
	readonly log?: string;
}

export interface BpfOptions {
	readonly mapEntries: Readonly<Record<string, number>>;
	readonly autoload: Readonly<Record<string, boolean>>;
	readonly canSetError: boolean;
	/** See Probed. */
	readonly taskHelpers: boolean;
	/** See Probed. */
	readonly mptcpHelpers: boolean;
	readonly transparentBit: number;
	/** Programs may read the kernel's memory by address. */
	readonly kernelReads: boolean;
	/** Rows of counters that each listener has: `listeners` gets as many entries more. */
	readonly listenerRows: number;
	/** Programs of type tracing take locks, and have socket storage. */
	readonly tracingLocks: boolean;
	/** toa.ko says what is in the options. */
	readonly fromModule: boolean;
	/** A directory under bpffs: those of the maps that are found there are adopted, the others are pinned there. */
	readonly pin?: undefined | { readonly directory: string; readonly maps: readonly string[] };
}

export interface MapInfo {
	readonly keySize: number;
	readonly valueSize: number;
	readonly maxEntries: number;
}

/** A program of whichever process. */
export interface AttachedProgram {
	readonly hook: 'sockops' | 'getsockopt' | 'getpeername4' | 'getpeername6';
	/** The number by which the kernel knows it. */
	readonly id: number;
	/** Cut to 15 characters; empty where the kernel does not tell it to this process. */
	readonly name: string;
}

/** A link, as the kernel has it. */
export interface LinkState {
	readonly program: string;
	/** Numbers by which the kernel knows the link, and the program that was loaded for it. */
	readonly id: number;
	readonly programId: number;
	/** False: somebody made the link run another program. */
	readonly ours: boolean;
	/** Of a link to a cgroup: the cgroup's id; 0n: it is detached. */
	readonly cgroup?: bigint;
}

/** What is left after detaching. */
export interface Detached {
	/** True: it is attached still, by a pin that could not be taken away. */
	readonly attached: boolean;
	/** The errno that refused to take the pin away; empty: it is gone. */
	readonly pin: string;
}

/** See ProgramUsage. */
export interface ProgramStatistics {
	readonly program: string;
	readonly runs: bigint;
	readonly runNs: bigint;
	readonly misses?: bigint;
}

/**
 * Loaded by the constructor. Values of per-CPU maps are the sums over all CPUs. Every method throws NativeError; after close() it is EBADF.
 */
export interface BpfObject {
	/**
	 * 'replaced': a pinned link of an earlier daemon now runs this program, without a gap. `drain`: the link that the program had
	 * stays attached to what is left of a cgroup that was removed.
	 */
	attach(program: string, to?: { cgroup?: string; pin?: string; drain?: boolean }): 'attached' | 'replaced';
	/** Also takes the link's pin away. Links that a program has not are detached already. */
	detach(program: string): Detached;
	/** What the kernel says of each link that is held. */
	links(): LinkState[];
	/** Pins the link of a program, or a map, in the place of whatever is pinned there. */
	pin(name: string, path: string): void;
	/** The number by which the kernel knows a map. */
	mapId(map: string): number;
	/** Pinned links and maps stay. Does nothing the second time. */
	close(): void;
	mapInfo(map: string): MapInfo;
	/** False: there is none. */
	lookup(map: string, key: Uint8Array, value: Uint8Array): boolean;
	/** False: the flags forbid it (1: only new, 2: only existing), or the map is full. */
	update(map: string, key: Uint8Array, value: Uint8Array, flags?: number): boolean;
	/** A hash map: all of these entries, one after the other in both buffers. E2BIG: there is no room for one of them. */
	updateAll(map: string, keys: Uint8Array, values: Uint8Array): void;
	/** False: there was none. */
	remove(map: string, key: Uint8Array): boolean;
	/** A hash map, whole. Both buffers must hold maxEntries. Returns the entries read. */
	readAll(map: string, keys: Uint8Array, values: Uint8Array): number;
	/** Entries of a hash map, or places of `connections` that have been used. */
	count(map: string): number;
	/** Places in the map `connections` that may be this peer's (struct endpoint); who asks compares the addresses. */
	findPeer(endpoint: Uint8Array): Uint32Array;
	/**
	 * Has the kernel keep the SYNs of a listener of another process (pidfd_getfd(2), TCP_SAVE_SYN), or forget them where
	 * it was toascope that wanted them.
	 * EPERM: it takes CAP_SYS_PTRACE.
	 */
	keepSyns(pid: number, fd: number, keep: boolean): void;
	/**
	 * A hash map from `from` on (undefined: from the beginning), as many entries as fit into both buffers. An entry that
	 * is there all the time is read once. `next` undefined: that was the end. ENOSPC: not even one bucket fits.
	 */
	readPage(
		map: string,
		keys: Uint8Array,
		values: Uint8Array,
		from: number | undefined,
	): { readonly entries: number; readonly next: number | undefined };
	/**
	 * Runs an attached iterator to its end. Returns the bytes that it wrote; ENOBUFS: there were more. `netns`: the file of the network
	 * namespace whose sockets it is to read (namespaces(7)); EPERM: that takes CAP_SYS_ADMIN.
	 */
	iterate(program: string, output: Uint8Array): number;
	/**
	 * Runs a program, with the input as its packet, so many times on that one packet (default: once). Returns what it
	 * returned the last time. A signal may make it begin anew.
	 */
	run(program: string, input: Uint8Array, times?: number): number;
	/** Pins a program, in the place of one that is pinned there. */
	pinProgram(program: string, path: string): void;
	/** Every run of a program that had begun is over, on all CPUs. Waits in a thread of its own, some milliseconds. */
	runsOver(): Promise<void>;
	/** The same, blocking: some milliseconds, and tens of them on a busy host. */
	waitForRuns(): void;
	programStatistics(): ProgramStatistics[];
	/** Whole records from the ring. Returns bytes; less than a buffer full: the ring is empty. */
	drain(buffer: Uint8Array): number;
}

/** A part of a record: a scalar, or an array of them. */
export interface Field {
	/** Such as `traffic.opened`. */
	readonly name: string;
	/** In bytes, as is the next. */
	readonly offset: number;
	readonly size: number;
}

/** A whole map. Values of per-CPU maps are the sums over all CPUs. */
export interface PinnedMap {
	readonly maxEntries: number;
	readonly keySize: number;
	readonly valueSize: number;
	/** As the kernel knows the types (BTF); empty where it does not. */
	readonly key: readonly Field[];
	readonly value: readonly Field[];
	readonly entries: number;
	readonly keys: Buffer;
	readonly values: Buffer;
}

/** Features of the kernel. Empty: it has them. Else the name of the errno that refused it. */
export type Features = Readonly<
	Record<
		| 'sockops'
		| 'getsockopt'
		| 'getpeername'
		| 'ringbuf'
		| 'socketStorage'
		| 'setError'
		| 'kernelReads'
		| 'taskRegisters'
		| 'tracingLocks'
		| 'listeningSockets'
		| 'fexit'
		| 'memoryAccounting',
		string
	>
>;

export interface Probed {
	readonly features: Features;
	/** The kernel has bpf_get_current_task_btf() and bpf_task_pt_regs() for the getpeername programs. */
	readonly taskHelpers: boolean;
	/** The kernel has bpf_skc_to_mptcp_sock() for sockops programs. */
	readonly mptcpHelpers: boolean;
	/** Number of the bit INET_FLAGS_TRANSPARENT; 0 where the kernel has no such enumerator. */
	readonly transparentBit: number;
	/** The kernel has the function __inet_accept(). */
	readonly innerAccept: boolean;
}

export interface Native {
	readonly BpfObject: new (options: BpfOptions) => BpfObject;
	readonly libbpfVersion: string;
	/** Tries each feature on the running kernel. */
	probe(): Probed;
	/**
	 * Opens a connection over loopback, has a segment with the option come in for it, and asks getsockopt(4096) before and
	 * after: names of errno, empty where it answered. `peer`: the answer after, struct toa_nat64_peer.
	 */
	askModule(option: Uint8Array): { readonly without: string; readonly with: string; readonly peer?: Uint8Array };
	/** One datagram to systemd's socket (sd_notify(3)); never waits. EAGAIN: the socket is full. */
	notify(socket: string, state: string): void;
	/** Returns how many of these bytes a pipe or socket took at once; 0: it is full. Does not wait for its reader. */
	writeNow(fd: number, bytes: Uint8Array): number;
	/** Takes a directory's lock (flock(2)) and returns its descriptor; -1: another process has it. */
	lock(path: string): number;
	/**
	 * The user whose socket is at the other end of this one: of a Unix socket, or of a connection from our network
	 * namespace. Undefined: it is elsewhere, or the kernel does not tell.
	 */
	peerOwner(fd: number): number | undefined;
	/**
	 * The process that listens where this Unix socket has connected to, as the kernel has it: `pid` in our pid namespace, 0
	 * where it is in none that we see. Undefined: it is no Unix socket.
	 */
	peerProcess(fd: number): { readonly pid: number; readonly uid: number } | undefined;
	/** Programs attached at this very cgroup, on the hooks that toascope uses. EPERM: it takes CAP_NET_ADMIN. */
	attachedPrograms(cgroup: string): AttachedProgram[];
	/** Links to cgroups, of whichever process; empty without CAP_SYS_ADMIN. */
	attachedLinks(): { readonly id: number; readonly programId: number }[];
	/** The maps of a program, by name: their numbers; empty without CAP_SYS_ADMIN. */
	programMaps(program: number): Readonly<Record<string, number>>;
	/** Reads a map of whichever process. */
	mapById(id: number): PinnedMap;
	/** The number of the map, link or program that is pinned there; undefined: none is. */
	pinnedId(path: string): number | undefined;
	/** Reads a map of whichever version, by its pin. */
	pinnedMap(path: string): PinnedMap;
	/** As BpfObject.run(), for a program of whichever version, by its pin. */
	runPinned(path: string, input: Uint8Array, times: number): number;
	/** Detaches pinned links on cgroups; none of their programs runs any more when it returns. Others detach when their pins go. */
	detachLinks(pins: readonly string[]): void;
	/** client_tag() of bpf/records.h: of each of these keys (struct client_key). */
	clientTags(keys: Uint8Array): BigUint64Array;
	mountBpffs(path: string): void;
	unmount(path: string): void;
	/** CLOCK_MONOTONIC of the initial time namespace: the clock of bpf_ktime_get_ns(). */
	monotonicNs(): bigint;
}

function load(): Native {
	const places = ['../../build/Release/toascope.node', '../../../build/Release/toascope.node'];
	const found = places.map((place) => new URL(place, import.meta.url).pathname).find(existsSync);
	if (found === undefined) {
		throw new ToascopeError('MISSING_TOOL', 'the addon toascope.node is not built', {
			hint: 'npm run build; where it is an installed package: npm rebuild toascope',
		});
	}
	return createRequire(import.meta.url)(found) as Native;
}

let loaded: Native | undefined;

/** The addon; loaded at the first call. @throws {ToascopeError} MISSING_TOOL where it is not built. */
export function native(): Native {
	loaded ??= load();
	return loaded;
}
