// SPDX-License-Identifier: Apache-2.0
/** The BPF programs, loaded, attached and set, and the kernel state they keep: all of a provider but what reads the options. */
import { existsSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { builtInProfiles } from '../config/built_in_profiles.ts';
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';
import { type LogSink, logLines, tell } from '../log_lines.ts';
import type { Connection, ConnectionEvent } from '../model/connection.ts';
import type { LookupQuery } from '../model/lookup.ts';
import type { Peers } from '../model/peers.ts';
import type { UnknownOption } from '../model/recent.ts';
import type { NextTurn } from '../model/store.ts';
import { AttachmentCheck, type AttachmentReport } from './attachment_check.ts';
import { Attachments } from './attachments.ts';
import { btfPath, missingBtf } from './btf.ts';
import { findBusyPeers } from './busy_peers.ts';
import { Connections } from './connections.ts';
import { Counters } from './counters.ts';
import { writeScope } from './foundation.ts';
import { KeptSyns } from './kept_syns.ts';
import { KernelSettings } from './kernel_settings.ts';
import { eventLayout, limit, listenerKeyLayout } from './layout.gen.ts';
import { ListeningSockets, listeningOn } from './listening.ts';
import { fexitPrograms, load, modulePrograms, stateMaps } from './load.ts';
import { type BpfObject, type Features, native, type Probed } from './native.ts';
import { Owners } from './owners.ts';
import { pidsAreKernels, runInHostPids } from './pid_namespace.ts';
import { Pins } from './pins.ts';
import { requirePrivileges } from './privileges.ts';
import type { AcceptProgram, OnFailure, OptionReader, Provider, ProviderName } from './provider.ts';
import { readEvent } from './records.ts';
import { explain } from './refusal.ts';
import { ServedCgroup, servedCgroupId } from './served_cgroup.ts';
import { Sweeper, sweepProgram } from './sweeper.ts';
import { readUnknownOptions } from './tables.ts';
import { takeOver } from './take_over.ts';

const ringBatchBytes = 256 * eventLayout.size;
/** The event loop has others to serve. */
const drainMs = 10;

export class Programs implements Provider {
	readonly name: ProviderName;
	readonly features: Features;
	readonly cgroup: string;
	readonly wholeHost: boolean;
	readonly acceptProgram: AcceptProgram;
	readonly counters: Counters;
	readonly #reader: OptionReader;
	readonly #fexit: readonly string[];
	readonly #bpf: BpfObject;
	readonly #pins: Pins | undefined;
	readonly #cgroup: ServedCgroup;
	readonly #attachments: Attachments;
	readonly #check: AttachmentCheck;
	readonly #connections: Connections;
	readonly #sockets: ListeningSockets;
	readonly #owners: Owners;
	readonly #keptSyns: KeptSyns;
	readonly #sweeper: Sweeper;
	readonly #settings: KernelSettings;
	readonly #profileNames = new Map<number, string>();
	readonly #events = Buffer.allocUnsafeSlow(ringBatchBytes);
	#config: Config;
	#eventMask = 0;
	/** Id of the cgroup that programs were attached to. */
	#cgroupId: bigint | undefined;
	#closed = false;

	private constructor(
		config: Config,
		reader: OptionReader,
		cgroup: ServedCgroup,
		bpf: BpfObject,
		pins: Pins | undefined,
		attachments: Attachments,
		probed: Probed,
		log: LogSink,
	) {
		this.#config = config;
		this.#reader = reader;
		this.#bpf = bpf;
		this.#pins = pins;
		this.name = reader.name;
		this.#cgroup = cgroup;
		this.#cgroupId = cgroup.id;
		this.cgroup = cgroup.path;
		this.wholeHost = cgroup.wholeHost;
		this.features = probed.features;
		this.#fexit = fexitPrograms(probed, config);
		this.acceptProgram = !config.accept ? 'off' : this.#fexit.length === 0 ? 'getpeername' : 'fexit';
		this.#attachments = attachments;
		const profileName = (id: number) => this.#profileNames.get(id);
		this.#sweeper = new Sweeper(bpf);
		this.counters = new Counters(bpf, this.#sweeper, profileName, () => reader.events());
		this.#settings = new KernelSettings(bpf, reader.name);
		this.#connections = new Connections(bpf, profileName);
		this.#sockets = new ListeningSockets(bpf, probed.features.listeningSockets);
		const visible = pidsAreKernels();
		if (!visible) tell(log, logLines.pidNamespace, { hint: runInHostPids });
		this.#owners = new Owners(this.#sockets, visible);
		this.#keptSyns = new KeptSyns(bpf, this.#sockets, log, visible);
		const maps = stateMaps(reader.name);
		const onCgroup = () => this.#followCgroup();
		const checked = { bpf, pins, attachments, cgroup, maps, keptSyns: this.#keptSyns, reader, onCgroup };
		this.#check = new AttachmentCheck(checked, log);
	}

	/**
	 * Loads, sets and attaches. Nothing is left of it when it throws, but the pins that it found. `probed`: what to take
	 * the kernel for; it can be less than it is.
	 * @throws {ToascopeError} NO_PRIVILEGE, NO_BTF, NO_CGROUP2, NO_BPFFS, ALREADY_RUNNING, NO_MEMORY, BPF_FAILED, PROVIDER_UNSUPPORTED
	 */
	static open(config: Config, reader: OptionReader, log: LogSink, probed: Probed = native().probe()): Programs {
		requirePrivileges();
		if (!existsSync(btfPath)) {
			const { found, advice } = missingBtf(existsSync('/sys/kernel'));
			throw new ToascopeError('NO_BTF', found, { hint: advice });
		}
		if (reader.name === 'module' && probed.features.kernelReads !== '') {
			const why = `programs may not read what toa.ko says (${probed.features.kernelReads})`;
			throw new ToascopeError('PROVIDER_UNSUPPORTED', `the kernel is locked down: ${why}`, {
				hint: 'set provider to bpf, which works here, or boot with lockdown=integrity',
			});
		}
		const cgroup = ServedCgroup.find(config);
		const pins = config.bpf.pin === undefined ? undefined : Pins.open(native(), config.bpf.pin, log);
		let bpf: BpfObject | undefined;
		let attachments: Attachments | undefined;
		let provider: Programs | undefined;
		try {
			bpf = load({ config, probed, reader: reader.name }, pins && { pins, cgroup, log });
			attachments = new Attachments(bpf, pins, cgroup);
			provider = new Programs(config, reader, cgroup, bpf, pins, attachments, probed, log);
			provider.#start(log);
			pins?.dropOtherLayouts();
			return provider;
		} catch (error) {
			// listeners that an earlier daemon told stay told: its programs go on counting
			if (provider !== undefined && pins?.adopted !== true) provider.#releaseSyns();
			bpf?.close();
			// until then it is an earlier daemon's programs that count, and pins of another provider would deny theirs
			if (attachments?.has('toascope_sockops') !== true) pins?.dropNew();
			pins?.close(pins.adopted);
			throw explain(error, config);
		}
	}

	get adopted(): boolean {
		return this.#pins?.adopted ?? false;
	}

	#start(log: LogSink): void {
		// the line "other" must be there before any listener finds the table full
		const place = Buffer.alloc(4);
		place.writeUInt32LE(limit.OTHER_LISTENER);
		this.#bpf.update('listener_places', Buffer.alloc(listenerKeyLayout.size), place, 1);
		writeScope(this.#bpf, this.#cgroup);
		this.#apply(this.#config);
		if (this.features.listeningSockets === '') this.#attachments.iterator('toascope_listeners');
		for (const program of this.#fexit) this.#attachments.traced(program, 'function');
		// what the module says must be kept before anybody comes for it
		if (this.name === 'module') {
			for (const program of modulePrograms) this.#attachments.traced(program, 'tracepoint');
		}
		this.#attachCgroup();
		if (this.#pins !== undefined) takeOver(this.#bpf, this.#pins, this.#cgroup, log);
		// a daemon of another layout counts with it what this one's table has
		if (this.#pins !== undefined) this.#bpf.pinProgram(sweepProgram, this.#pins.map(sweepProgram));
		this.#attachments.cgroup('toascope_sockops');
		this.#keepSyns(this.adopted);
		this.#attachments.dropOthers([...stateMaps(this.name), sweepProgram]);
	}

	/** Hooks that cost every caller something are there only while something needs them. */
	#attachCgroup(): void {
		const names = this.#config.transparent.enabled || this.acceptProgram === 'getpeername';
		// the module answers by itself
		this.#attachments.cgroup('toascope_getsockopt', this.#config.sockopt.enabled && this.name === 'bpf');
		this.#attachments.cgroup('toascope_getpeername4', names);
		this.#attachments.cgroup('toascope_getpeername6', names);
	}

	/** The module keeps what stands on SYNs itself. */
	#keepSyns(adopted: boolean): void {
		this.#keptSyns.apply(this.name === 'bpf' ? this.#config : { ...this.#config, profiles: [] }, adopted);
	}

	/** After a start that failed, whose error says more than what this one may fail with. */
	#releaseSyns(): void {
		try {
			this.#keptSyns.release();
		} catch {
			// the kernel refuses to list the listeners: they keep their SYNs until they end, which costs memory alone
		}
	}

	#apply(config: Config): void {
		for (const { id, name } of [...builtInProfiles, ...config.profiles]) this.#profileNames.set(id, name);
		this.#reader.apply(config);
		this.#applySettings(config);
	}

	#applySettings(config: Config): void {
		this.#settings.apply(config, this.#eventMask, servedCgroupId(this, this.#cgroupId));
	}

	/** A cgroup that was made anew has another id, by which programs on the module's tracepoints go. */
	#followCgroup(): void {
		const { id } = this.#cgroup;
		if (id === this.#cgroupId) return;
		const before = this.#cgroupId;
		this.#cgroupId = id;
		try {
			this.#applySettings(this.#config);
		} catch (error) {
			// the next check tries it again
			this.#cgroupId = before;
			throw error;
		}
	}

	checkAttachments(onChange: () => void): void {
		this.#check.run(onChange);
	}

	get attachments(): AttachmentReport {
		return this.#check.report;
	}

	reload(config: Config): void {
		const before = this.#config;
		try {
			this.#apply(config);
			this.#config = config;
			if (!isDeepStrictEqual(before.clients.perPrefix, config.clients.perPrefix)) this.counters.recountPrefixes();
			this.#attachCgroup();
			this.#keepSyns(false);
		} catch (error) {
			this.#config = before;
			const lost = this.#restore();
			if (lost.length === 0) throw explain(error, config);
			throw new ToascopeError('BPF_FAILED', 'the reload failed, and so did going back: restart the daemon', {
				cause: new AggregateError([error, ...lost]),
			});
		}
	}

	/** Goes back to the configuration in force, as far as the kernel lets us. Returns what it refused. */
	#restore(): unknown[] {
		this.counters.recountPrefixes();
		const refused: unknown[] = [];
		for (const step of [() => this.#apply(this.#config), () => this.#attachCgroup()]) {
			try {
				step();
			} catch (error) {
				refused.push(error);
			}
		}
		return refused;
	}

	listen(...types: ConnectionEvent['type'][]): void {
		const bits = { opened: 1 << 1, accepted: 1 << 2, closed: 1 << 3 };
		this.#eventMask = types.reduce((mask, type) => mask | bits[type], 0);
		this.#applySettings(this.#config);
	}

	/** What takes longer than `drainMs` is left for the next call. */
	drain(onEvent: (event: ConnectionEvent) => void, onFailure: OnFailure): boolean {
		const name = (id: number) => this.#profileNames.get(id);
		const until = performance.now() + drainMs;
		let bytes = this.#events.length;
		while (bytes === this.#events.length && performance.now() < until) {
			bytes = this.#bpf.drain(this.#events);
			for (let at = 0; at < bytes; at += eventLayout.size) {
				// the kernel has let go of the batch: one that fails must not take the others with it
				try {
					const event = readEvent(this.#events, at, name);
					if (event === undefined) throw new Error('a record does not tell the ends of its connection');
					onEvent({ type: event.type, connection: this.#owned(event.connection, onFailure) });
				} catch (error) {
					onFailure('events', error);
				}
			}
		}
		return bytes === this.#events.length;
	}

	discard(): number {
		let all = 0;
		for (let bytes = this.#events.length; bytes === this.#events.length; all += bytes) {
			bytes = this.#bpf.drain(this.#events);
		}
		return all / eventLayout.size;
	}

	flush(nextTurn: NextTurn): Promise<void> {
		return this.#sweeper.sweep(true, nextTurn);
	}

	lookup(question: LookupQuery, onFailure: OnFailure): Connection[] {
		const retainNs = BigInt(this.#config.connections.retainMs) * 1_000_000n;
		const found = this.#connections.find(question, native().monotonicNs(), retainNs);
		return found.map((connection) => this.#owned(connection, onFailure));
	}

	unknownOptions(): UnknownOption[] {
		return readUnknownOptions(this.#bpf);
	}

	/** It takes a tenth of a second, and gives the event loop back meanwhile. */
	async peers(nextTurn: NextTurn): Promise<Peers> {
		const { trust, connections, listeners } = this.#config;
		const retainNs = BigInt(connections.retainMs) * 1_000_000n;
		const found = await findBusyPeers(this.#bpf, trust, native().monotonicNs(), retainNs, nextTurn);
		return { ...found, listening: listeningOn(this.#sockets.recent(), listeners.ports) };
	}

	/** Without its owner where that cannot be found out. */
	#owned(connection: Connection, onFailure: OnFailure): Connection {
		if (connection.seen !== 'unseen') return connection;
		try {
			return { ...connection, owner: this.#owners.of(connection) };
		} catch (error) {
			onFailure('owners', error);
			return connection;
		}
	}

	/** Detaches. Returns the programs that are still attached. */
	#leave(): string[] {
		// from here on no listener is told to keep SYNs
		const left = this.#attachments.detach('toascope_sockops') ? ['toascope_sockops'] : [];
		try {
			this.#keptSyns.release();
		} finally {
			left.push(...this.#attachments.detachAll());
		}
		return left;
	}

	close(keep: boolean, started = true): readonly string[] {
		if (this.#closed) return [];
		this.#closed = true;
		const lost = keep && this.#pins !== undefined ? this.#check.last() : [];
		this.#check.close();
		let attached: readonly string[] = [];
		try {
			if (!(keep && this.#pins !== undefined)) attached = this.#leave();
		} finally {
			this.#bpf.close();
			try {
				this.#pins?.close(keep, attached);
			} finally {
				this.#reader.close(keep, started);
			}
		}
		return lost;
	}
}
