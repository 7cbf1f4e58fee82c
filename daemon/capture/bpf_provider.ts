// SPDX-License-Identifier: Apache-2.0
/**
 * Loads, configures and attaches the BPF programs, and owns the kernel state that they keep: all of
 * a provider except the reading of options, which is the OptionReader's.
 */
import { existsSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { type BpfObject, type Features, native, type Probed } from '../../native/binding.ts';
import { builtInProfiles } from '../config/built_in_profiles.gen.ts';
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';
import type { Yield } from '../event_loop.ts';
import { btfPath, missingBtf } from '../host/btf.ts';
import { hostPidNamespaceHint, isInitialPidNamespace } from '../host/pid_namespace.ts';
import { requirePrivileges } from '../host/privileges.ts';
import { type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import type { Connection, ConnectionEvent } from '../model/connection.ts';
import type { LookupQuery, LookupResult, Retention } from '../model/lookup.ts';
import type { Peers } from '../model/peers.ts';
import type { UnknownOption } from '../model/recent.ts';
import { AttachmentCheck } from './attachment_check.ts';
import type { AttachmentReport } from './attachment_report.ts';
import { Attachments } from './attachments.ts';
import { toOperatorError } from './bpf_errors.ts';
import { EventRing } from './event_ring.ts';
import { KernelSettings } from './kernel_settings.ts';
import { ListeningSockets, listeningOn } from './listening.ts';
import { fexitPrograms, load, modulePrograms, stateMaps } from './load.ts';
import { findBusyPeers } from './maps/busy_peers.ts';
import { Connections } from './maps/connections.ts';
import { Counters } from './maps/counters.ts';
import { EvictedConnections } from './maps/evicted.ts';
import { readMeta, writeMeta } from './maps/meta.ts';
import { readUnknownOptions } from './maps/tables.ts';
import { Owners } from './owners.ts';
import { writeScope } from './pinning/counter_scope.ts';
import { Pins } from './pinning/pins.ts';
import { migrateCounters } from './pinning/upgrade.ts';
import type {
	AcceptProgram,
	EnabledEvents,
	OnFailure,
	OpenVisitor,
	OptionReader,
	Provider,
	ProviderName,
	Tracker,
} from './provider.ts';
import { constant, listenerKeyLayout, metaEntry } from './records/layout.gen.ts';
import { u32 } from './records/records.ts';
import { SavedSyns } from './saved_syns.ts';
import { ServedCgroup, servedCgroupId } from './served_cgroup.ts';
import { type Emission, noEmission } from './settings.ts';
import { Sweeper, sweepProgram } from './sweeper.ts';

export class BpfProvider implements Provider, Tracker {
	readonly tracker: Tracker = this;
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
	readonly #evicted: EvictedConnections;
	readonly #ring: EventRing;
	readonly #sockets: ListeningSockets;
	readonly #owners: Owners;
	readonly #savedSyns: SavedSyns;
	readonly #sweeper: Sweeper;
	readonly #settings: KernelSettings;
	readonly #profileNames = new Map<number, string>();
	#config: Config;
	#emission: Emission = noEmission;
	/** The id of the cgroup that the programs are attached to. */
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
		this.#evicted = new EvictedConnections(bpf);
		this.#ring = new EventRing(bpf, profileName);
		this.#sockets = new ListeningSockets(bpf, probed.features.listeningSockets);
		const sharesHostPids = isInitialPidNamespace();
		if (!sharesHostPids) logLine(log, logLines.pidNamespace, { hint: hostPidNamespaceHint });
		this.#owners = new Owners(this.#sockets, sharesHostPids);
		this.#savedSyns = new SavedSyns(bpf, this.#sockets, log, sharesHostPids);
		const maps = stateMaps(reader.name);
		const onCgroup = () => this.#followCgroup();
		const checked = { bpf, pins, attachments, cgroup, maps, savedSyns: this.#savedSyns, reader, onCgroup };
		this.#check = new AttachmentCheck(checked, log);
	}

	/**
	 * Loads, configures and attaches the programs. When it throws, it leaves nothing behind except
	 * the pins that it found. `probed`: the features to assume; they can be fewer than the kernel
	 * has.
	 * @throws {ToascopeError} NO_PRIVILEGE, NO_BTF, NO_CGROUP2, NO_BPFFS, ALREADY_RUNNING,
	 * NO_MEMORY, BPF_FAILED, PROVIDER_UNSUPPORTED
	 */
	static open(config: Config, reader: OptionReader, log: LogSink, probed: Probed = native().probe()): BpfProvider {
		requirePrivileges();
		if (!existsSync(btfPath)) {
			const { found, advice } = missingBtf(existsSync('/sys/kernel'));
			throw new ToascopeError('NO_BTF', found, { hint: advice });
		}
		if (reader.name === 'module' && probed.features.kernelReads !== '') {
			const why = `programs are not allowed to read what toa.ko reports (${probed.features.kernelReads})`;
			throw new ToascopeError('PROVIDER_UNSUPPORTED', `the kernel is locked down: ${why}`, {
				hint: 'set provider to bpf, which works here, or boot with lockdown=integrity',
			});
		}
		const cgroup = ServedCgroup.find(config);
		const pins = config.bpf.pin === undefined ? undefined : Pins.open(native(), config.bpf.pin, log);
		let bpf: BpfObject | undefined;
		let attachments: Attachments | undefined;
		let provider: BpfProvider | undefined;
		try {
			bpf = load({ config, probed, reader: reader.name }, pins && { pins, cgroup, log });
			attachments = new Attachments(bpf, pins, cgroup);
			provider = new BpfProvider(config, reader, cgroup, bpf, pins, attachments, probed, log);
			provider.#start(log);
			pins?.removeOtherLayouts();
			return provider;
		} catch (error) {
			// leave TCP_SAVE_SYN on if an earlier daemon set it: its programs still count
			if (provider !== undefined && pins?.adopted !== true) provider.#releaseSyns();
			bpf?.close();
			// until sockops is attached, an earlier daemon's programs count, and new pins of
			// another provider would make its pins look incomplete
			if (attachments?.has('toascope_sockops') !== true) pins?.unpinNew();
			pins?.close(pins.adopted);
			throw toOperatorError(error, config);
		}
	}

	get secret(): bigint {
		return readMeta(this.#bpf, metaEntry.META_PEER_HASH_KEY);
	}

	get adopted(): boolean {
		return this.#pins?.adopted ?? false;
	}

	get countersSinceNs(): bigint | undefined {
		return readMeta(this.#bpf, metaEntry.META_SINCE_NS) || undefined;
	}

	#start(log: LogSink): void {
		// "other" must exist before any listener finds the table full
		this.#bpf.map('listener_index').update(Buffer.alloc(listenerKeyLayout.size), u32(constant.OTHER_LISTENER), 1);
		writeScope(this.#bpf, this.#cgroup);
		if (!this.adopted) writeMeta(this.#bpf, metaEntry.META_SINCE_NS, BigInt(Date.now()) * 1_000_000n);
		this.#apply(this.#config);
		if (this.features.listeningSockets === '') this.#attachments.attachIterator('toascope_listeners');
		for (const program of this.#fexit) this.#attachments.attachTraced(program, 'function');
		// attach first: a verdict of the module must be recorded before another program needs it
		if (this.name === 'module') {
			for (const program of modulePrograms) this.#attachments.attachTraced(program, 'tracepoint');
		}
		this.#attachCgroup();
		if (this.#pins !== undefined) migrateCounters(this.#bpf, this.#pins, this.#cgroup, log);
		// a later daemon of another layout uses it to count what is left in this layout's table
		if (this.#pins !== undefined) this.#bpf.pinProgram(sweepProgram, this.#pins.map(sweepProgram));
		this.#attachments.setOnCgroup('toascope_sockops');
		this.#saveSyns(this.adopted);
		this.#attachments.dropOthers([...stateMaps(this.name), sweepProgram]);
	}

	/** Attaches the hooks that slow down every caller, and only while they are needed. */
	#attachCgroup(): void {
		const needsGetpeername = this.#config.transparent.enabled || this.acceptProgram === 'getpeername';
		// the module answers getsockopt() itself
		this.#attachments.setOnCgroup('toascope_getsockopt', this.#config.sockopt.enabled && this.name === 'bpf');
		this.#attachments.setOnCgroup('toascope_getpeername4', needsGetpeername);
		this.#attachments.setOnCgroup('toascope_getpeername6', needsGetpeername);
	}

	/**
	 * Applies TCP_SAVE_SYN to listeners. With the module there are no profiles to apply: it keeps
	 * the options of SYNs itself.
	 */
	#saveSyns(adopted: boolean): void {
		this.#savedSyns.apply(this.name === 'bpf' ? this.#config : { ...this.#config, profiles: [] }, adopted);
	}

	/**
	 * Undoes TCP_SAVE_SYN after a failed start. Errors are ignored, because the error of the start
	 * is reported.
	 */
	#releaseSyns(): void {
		try {
			this.#savedSyns.release();
		} catch {
			// the kernel refuses to list the listeners: they keep SYNs until they close, which only
			// costs memory
		}
	}

	#apply(config: Config): void {
		for (const { id, name } of [...builtInProfiles, ...config.profiles]) this.#profileNames.set(id, name);
		this.#reader.apply(config);
		this.#applySettings(config);
	}

	#applySettings(config: Config): void {
		this.#settings.apply(config, this.#emission, servedCgroupId(this, this.#cgroupId));
	}

	/**
	 * Updates the settings after the cgroup was created again: it then has another id, which
	 * programs on the module's tracepoints compare.
	 */
	#followCgroup(): void {
		const { id } = this.#cgroup;
		if (id === this.#cgroupId) return;
		const before = this.#cgroupId;
		this.#cgroupId = id;
		try {
			this.#applySettings(this.#config);
		} catch (error) {
			// so that the next check retries
			this.#cgroupId = before;
			throw error;
		}
	}

	checkAttachments(onChange: () => void): void {
		this.#check.run(onChange);
	}

	moduleEvents(): Readonly<Record<string, bigint>> {
		return this.#reader.events();
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
			this.#saveSyns(false);
		} catch (error) {
			this.#config = before;
			const failures = this.#restore();
			if (failures.length === 0) throw toOperatorError(error, config);
			throw new ToascopeError('BPF_FAILED', 'the reload failed, and so did its rollback: restart the daemon', {
				cause: new AggregateError([error, ...failures]),
			});
		}
	}

	/**
	 * Restores the configuration in force, as far as the kernel allows. Returns the errors of the
	 * steps that it refused.
	 */
	#restore(): unknown[] {
		this.counters.recountPrefixes();
		const errors: unknown[] = [];
		for (const step of [() => this.#apply(this.#config), () => this.#attachCgroup()]) {
			try {
				step();
			} catch (error) {
				errors.push(error);
			}
		}
		return errors;
	}

	enableEvents({ every = [], sampled = [] }: EnabledEvents): void {
		this.#emission = { ...this.#emission, every, sampled };
		this.#applySettings(this.#config);
	}

	setSampleThreshold(threshold: bigint): void {
		this.#emission = { ...this.#emission, threshold };
		this.#settings.setSampleThreshold(threshold);
	}

	ringShare(): number {
		return this.#ring.share;
	}

	drain(onEvent: (event: ConnectionEvent) => void, onFailure: OnFailure): boolean {
		return this.#ring.drain(
			(event) => onEvent({ ...event, connection: this.#withOwner(event.connection, onFailure) }),
			onFailure,
		);
	}

	discard(): number {
		return this.#ring.discard();
	}

	flush(yieldLoop: Yield): Promise<void> {
		return this.#sweeper.sweep(true, yieldLoop);
	}

	refreshLookups(yieldLoop: Yield): Promise<void> {
		return this.#connections.refresh(yieldLoop);
	}

	lookup(
		query: LookupQuery,
		containerOf: (connection: Connection) => string | undefined,
		onFailure: OnFailure,
	): LookupResult {
		return this.#connections.find(query, {
			nowNs: native().monotonicNs(),
			retainNs: BigInt(this.#config.connections.retainMs) * 1_000_000n,
			withOwner: (connection) => this.#withOwner(connection, onFailure),
			containerOf,
		});
	}

	retention(): Retention | undefined {
		// without reads of kernel memory, connections are in the storage of their sockets
		if (this.features.kernelReads !== '') return undefined;
		const retainNs = BigInt(this.#config.connections.retainMs) * 1_000_000n;
		return this.#evicted.retention(native().monotonicNs(), retainNs);
	}

	eachOpen({ visit, ...visitor }: OpenVisitor, yieldLoop: Yield, onFailure: OnFailure): Promise<void> {
		const visitClient: OpenVisitor['visit'] = (connection, atNs) => {
			if (connection.client === undefined) return;
			// one that fails must not keep the others from being visited
			try {
				visit(this.#withOwner(connection, onFailure), atNs);
			} catch (error) {
				onFailure('open_records', error);
			}
		};
		return this.#connections.eachOpen({ ...visitor, visit: visitClient }, yieldLoop);
	}

	unknownOptions(): UnknownOption[] {
		return readUnknownOptions(this.#bpf);
	}

	/** Runs for about 0.1 s and yields to the event loop. */
	async peers(yieldLoop: Yield): Promise<Peers> {
		const { trust, connections, listeners } = this.#config;
		const retainNs = BigInt(connections.retainMs) * 1_000_000n;
		const found = await findBusyPeers(this.#bpf, trust, native().monotonicNs(), retainNs, yieldLoop);
		return { ...found, listening: listeningOn(this.#sockets.recent(), listeners.ports) };
	}

	/** Adds the owner of a connection, if it can be determined. */
	#withOwner(connection: Connection, onFailure: OnFailure): Connection {
		if (connection.seen !== 'unseen') return connection;
		try {
			return { ...connection, owner: this.#owners.of(connection) };
		} catch (error) {
			onFailure('owners', error);
			return connection;
		}
	}

	/** Detaches all programs. Returns those that are still attached. */
	#detach(): string[] {
		// detach sockops first: then no listener gets TCP_SAVE_SYN any more
		const attached = this.#attachments.detach('toascope_sockops') ? ['toascope_sockops'] : [];
		try {
			this.#savedSyns.release();
		} finally {
			attached.push(...this.#attachments.detachAll());
		}
		return attached;
	}

	close(keep: boolean, started = true): readonly string[] {
		if (this.#closed) return [];
		this.#closed = true;
		const notKept = keep && this.#pins !== undefined ? this.#check.checkBeforeStop() : [];
		this.#check.close();
		let attached: readonly string[] = [];
		try {
			if (!(keep && this.#pins !== undefined)) attached = this.#detach();
		} finally {
			this.#bpf.close();
			try {
				this.#pins?.close(keep, attached);
			} finally {
				this.#reader.close(keep, started);
			}
		}
		return notKept;
	}
}
