// SPDX-License-Identifier: Apache-2.0
/**
 * The declaration of the addon (native/). The rest of the daemon uses the addon only through it.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { ToascopeError } from '../daemon/errors.ts';

/** Every failure of the addon. `code` is errno's name ("EPERM"). */
export interface NativeError extends Error {
	readonly code: string;
	readonly errno: number;
	readonly op: string;
	readonly target: string;
	/** The verifier's last lines, if a program was refused at load. */
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
	/** Programs are allowed to read kernel memory by address. */
	readonly kernelReads: boolean;
	/** Rows of counters of each listener: `listeners` gets that many entries for each. */
	readonly listenerRows: number;
	/** Programs of type tracing can take locks, and have socket storage. */
	readonly tracingLocks: boolean;
	/** toa.ko reports what the options contain. */
	readonly fromModule: boolean;
	/**
	 * A directory under bpffs. Those of the maps that are pinned there are adopted, the others are
	 * pinned there.
	 */
	readonly pin?: undefined | { readonly directory: string; readonly maps: readonly string[] };
}

/**
 * A map of a BpfObject, which its handles do not keep alive. Every method throws NativeError; after
 * the object is closed or collected, EBADF.
 */
export interface BpfMap {
	/**
	 * The sizes of a key and a value, in bytes. The value of a per-CPU map is the sum over all
	 * CPUs.
	 */
	readonly keySize: number;
	readonly valueSize: number;
	/** For `listeners`, the number of listeners: the rows of each are one entry here. */
	readonly maxEntries: number;
	/** The id of the map in the kernel. */
	id(): number;
	/** Pins the map, and replaces whatever is pinned there. */
	pin(path: string): void;
	/** False: there is no entry. */
	lookup(key: Uint8Array, value: Uint8Array): boolean;
	/**
	 * False: the flags forbid it (1: only a new entry, 2: only an existing one), or the map is
	 * full.
	 */
	update(key: Uint8Array, value: Uint8Array, flags?: number): boolean;
	/**
	 * For hash maps: writes all of these entries, one after the other in both buffers. E2BIG: there
	 * is no room for one of them.
	 */
	updateAll(keys: Uint8Array, values: Uint8Array): void;
	/** False: there was no entry. */
	remove(key: Uint8Array): boolean;
	/**
	 * For hash maps: reads all entries into buffers that hold maxEntries each. Returns the number
	 * of entries.
	 */
	readAll(keys: Uint8Array, values: Uint8Array): number;
	/**
	 * For hash maps: reads as many entries as fit into both buffers, from `from` on (undefined:
	 * from the beginning). An entry that exists throughout is read exactly once. `next` undefined:
	 * the end is reached. ENOSPC: not even one bucket fits.
	 */
	readPage(
		keys: Uint8Array,
		values: Uint8Array,
		from: number | undefined,
	): { readonly entries: number; readonly next: number | undefined };
	/** The number of entries of a hash map, or of slots of `connections` that have been used. */
	count(): number;
}

/** An attached program of any process. */
export interface AttachedProgram {
	readonly hook: 'sockops' | 'getsockopt' | 'getpeername4' | 'getpeername6';
	/** The id of the program in the kernel. */
	readonly id: number;
	/** Truncated to 15 characters; empty if the kernel hides it from this process. */
	readonly name: string;
}

/** The state of a link in the kernel. */
export interface LinkState {
	readonly program: string;
	/** The ids in the kernel of the link, and of the program that was loaded for it. */
	readonly id: number;
	readonly programId: number;
	/** False: another process made the link run another program. */
	readonly ours: boolean;
	/** For a link to a cgroup: the cgroup's id; 0n: it is detached. */
	readonly cgroup?: bigint;
}

/** The result of detaching. */
export interface DetachResult {
	/** True: it is still attached, because its pin could not be removed. */
	readonly attached: boolean;
	/** The errno with which removing the pin failed; empty: the pin is gone. */
	readonly pin: string;
}

/** See ProgramUsage. */
export interface ProgramStatistics {
	readonly program: string;
	readonly runs: bigint;
	readonly runNs: bigint;
	readonly misses?: bigint;
}

/** `isCut`: there can be more entries. */
export interface EntriesRead {
	readonly count: number;
	readonly isCut: boolean;
}

/**
 * The loaded BPF programs and their maps. Every method throws NativeError; after close(), EBADF.
 */
export interface BpfObject {
	/**
	 * Attaches a program. 'replaced': a pinned link of an earlier daemon now runs this program,
	 * without a gap. `drain`: the previous link of the program stays attached to what is left of a
	 * removed cgroup.
	 */
	attach(program: string, to?: { cgroup?: string; pin?: string; drain?: boolean }): 'attached' | 'replaced';
	/**
	 * Detaches a program and removes the pin of its link. A program without a link counts as
	 * detached.
	 */
	detach(program: string): DetachResult;
	/** The state of each link that this object holds. */
	links(): LinkState[];
	/**
	 * Pins the link of a program, and replaces whatever is pinned there. ENOTCONN: it is not
	 * attached.
	 */
	pin(program: string, path: string): void;
	/** ENOENT: there is no map of this name. */
	map(name: string): BpfMap;
	/** Closes the object. Pinned links and maps stay. The second call does nothing. */
	close(): void;
	/**
	 * Brings the index of the connection table up to date: reads the blocks of slots (SLOTS_PER_BLOCK)
	 * that have changed, from `block` on, for at most `limitNs`. Returns the block to go on from; 0: this
	 * was the last. After a pass from 0 to the end, connections that opened before it are found.
	 */
	refreshIndex(block: number, limitNs: number): number;
	/**
	 * Writes the entries (struct connection) of a peer's connections (struct endpoint) into `into`, as
	 * many as it has room for.
	 */
	connectionsOfPeer(endpoint: Uint8Array, into: Uint8Array): EntriesRead;
	/** The same for a client; port 0: any. */
	connectionsOfClient(endpoint: Uint8Array, into: Uint8Array): EntriesRead;
	/**
	 * Sets TCP_SAVE_SYN on a listener of another process (pidfd_getfd(2)), so that the kernel keeps
	 * its SYNs, or resets it if toascope set it. EPERM: CAP_SYS_PTRACE is required.
	 */
	setSaveSyn(pid: number, fd: number, keep: boolean): void;
	/**
	 * Runs an attached iterator to its end. Returns the number of bytes that it wrote; ENOBUFS:
	 * there were more.
	 */
	iterate(program: string, output: Uint8Array): number;
	/**
	 * Runs a program `times` times (default: once) on one packet, the input. Returns the result of
	 * the last run. A signal can make it start again.
	 */
	run(program: string, input: Uint8Array, times?: number): number;
	/** Pins a program, and replaces one that is pinned there. */
	pinProgram(program: string, path: string): void;
	/**
	 * Waits for a grace period: when it resolves, every BPF program run that had already started
	 * has ended. The wait is in a separate thread, and lasts some milliseconds.
	 */
	synchronize(): Promise<void>;
	/** Like synchronize(), but blocks: for some milliseconds, or tens of them on a busy host. */
	synchronizeBlocking(): void;
	programStatistics(): ProgramStatistics[];
	/**
	 * Reads whole records from the ring. Returns the number of bytes; less than a full buffer: the
	 * ring is empty.
	 */
	drain(buffer: Uint8Array): number;
	/** The part of the ring that is in use, from 0 to 1. */
	ringShare(): number;
}

/** A part of a record: a scalar, or an array of scalars. */
export interface Field {
	/** The path to the field, such as `traffic.opened`. */
	readonly name: string;
	/** Offset and size are in bytes. */
	readonly offset: number;
	readonly size: number;
}

/** The contents of a map. Values of per-CPU maps are the sums over all CPUs. */
export interface PinnedMap {
	readonly maxEntries: number;
	readonly keySize: number;
	readonly valueSize: number;
	/** The types as the kernel knows them (BTF); empty if it does not. */
	readonly key: readonly Field[];
	readonly value: readonly Field[];
	readonly entries: number;
	readonly keys: Buffer;
	readonly values: Buffer;
}

/**
 * Features of the kernel. Empty: it has the feature. Otherwise the name of the errno that refused
 * it.
 */
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
	/**
	 * The kernel has bpf_get_current_task_btf() and bpf_task_pt_regs() for the getpeername
	 * programs.
	 */
	readonly taskHelpers: boolean;
	/** The kernel has bpf_skc_to_mptcp_sock() for sockops programs. */
	readonly mptcpHelpers: boolean;
	/** The number of the bit INET_FLAGS_TRANSPARENT; 0 if the kernel has no such enumerator. */
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
	 * Opens a connection over loopback, injects a segment with the option, and calls
	 * getsockopt(4096) before and after that. `errnoBefore` and `errnoAfter` are the names of the
	 * errnos, empty on success. `peer`: the result of the second call, struct toa_nat64_peer.
	 */
	probeModule(option: Uint8Array): {
		readonly errnoBefore: string;
		readonly errnoAfter: string;
		readonly peer?: Uint8Array;
	};
	/**
	 * Sends one datagram to systemd's socket (sd_notify(3)); never blocks. EAGAIN: the socket is
	 * full.
	 */
	notify(socket: string, state: string): void;
	/**
	 * Writes without waiting for the reader. Returns how many of these bytes a pipe or socket
	 * accepted; 0: it is full.
	 */
	writeNow(fd: number, bytes: Uint8Array): number;
	/**
	 * Takes a directory's lock (flock(2)) and returns its descriptor; -1: another process holds it.
	 */
	lock(path: string): number;
	/**
	 * The user who owns the socket at the other end of this one: of a Unix socket, or of a
	 * connection from our network namespace. Undefined: it is elsewhere, or the kernel does not
	 * report it.
	 */
	peerOwner(fd: number): number | undefined;
	/**
	 * The process that listens on the socket that this Unix socket is connected to, according to
	 * the kernel: `pid` in our pid namespace, 0 if it is in none that we can see. Undefined: this
	 * is not a Unix socket.
	 */
	peerProcess(fd: number): { readonly pid: number; readonly uid: number } | undefined;
	/**
	 * The programs that are attached to this cgroup itself, on the hooks that toascope uses. EPERM:
	 * CAP_NET_ADMIN is required.
	 */
	attachedPrograms(cgroup: string): AttachedProgram[];
	/** The links to cgroups of all processes; empty without CAP_SYS_ADMIN. */
	attachedLinks(): { readonly id: number; readonly programId: number }[];
	/** The ids of the maps of a program, by name; empty without CAP_SYS_ADMIN. */
	programMaps(program: number): Readonly<Record<string, number>>;
	/** Reads a map of any process. */
	mapById(id: number): PinnedMap;
	/** The id of the map, link or program that is pinned there; undefined: nothing is. */
	pinnedId(path: string): number | undefined;
	/** Reads a map of any version, by its pin. */
	pinnedMap(path: string): PinnedMap;
	/** Like BpfObject.run(), for a program of any version, by its pin. */
	runPinned(path: string, input: Uint8Array, times: number): number;
	/**
	 * Detaches pinned links to cgroups; when it returns, none of their programs is running any
	 * more. Other links detach when their pins are removed.
	 */
	detachLinks(pins: readonly string[]): void;
	/**
	 * The result of client_generation() (bpf/records.h) for each of these keys (struct client_key).
	 */
	clientGenerations(keys: Uint8Array): BigUint64Array;
	mountBpffs(path: string): void;
	unmount(path: string): void;
	/** CLOCK_MONOTONIC of the initial time namespace: the clock of bpf_ktime_get_ns(). */
	monotonicNs(): bigint;
}

function load(): Native {
	const paths = [
		'../build/Release/toascope.node',
		'../../build/Release/toascope.node',
		'../../../build/Release/toascope.node',
	];
	const found = paths.map((path) => new URL(path, import.meta.url).pathname).find(existsSync);
	if (found === undefined) {
		throw new ToascopeError('MISSING_TOOL', 'the addon toascope.node is not built', {
			hint: 'npm run build; for an installed package: npm rebuild toascope',
		});
	}
	return createRequire(import.meta.url)(found) as Native;
}

let loaded: Native | undefined;

/**
 * Returns the addon, which is loaded at the first call.
 * @throws {ToascopeError} MISSING_TOOL if it is not built
 */
export function native(): Native {
	loaded ??= load();
	return loaded;
}
