// SPDX-License-Identifier: Apache-2.0
/**
 * The daemon, put together: provider, store, exporters, HTTP. Data flows in that order; this file
 * is the only one that knows all of them.
 */
import { release } from 'node:os';
import { setImmediate as immediate } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { callerOf } from '../capture/caller.ts';
import { descriptorOf } from '../capture/descriptor.ts';
import { findCgroup2, readMounts } from '../capture/mounts.ts';
import { native } from '../capture/native.ts';
import { pidsAreKernels } from '../capture/pid_namespace.ts';
import type { AcceptProgram, Provider } from '../capture/provider.ts';
import { explain } from '../capture/refusal.ts';
import { type Config, changedRestartKeys } from '../config/config.ts';
import { Deadline, withinMs } from '../deadline.ts';
import { type SpanExport, startSpans } from '../export/otel/spans.ts';
import { createPrometheusExporter, type PrometheusExporter } from '../export/prometheus/exporter.ts';
import { createHttp } from '../http/app.ts';
import { listenTcp } from '../http/listen.ts';
import { requireKnownHttp } from '../http/node_check.ts';
import type { NotReady, View } from '../http/ports.ts';
import { listenUnix } from '../http/unix_socket.ts';
import { logLines, tell } from '../log_lines.ts';
import { type Endpoint, formatEndpoint } from '../model/address.ts';
import { CgroupPaths } from '../model/cgroup_paths.ts';
import type { Connection, ConnectionEvent } from '../model/connection.ts';
import { createContainerResolver } from '../model/container.ts';
import type { LookupQuery } from '../model/lookup.ts';
import type { Peers } from '../model/peers.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { Store } from '../model/store.ts';
import { version } from '../version.ts';
import { AttachmentTask } from './attachment_task.ts';
import { attachmentsMs, clockMs, collectMs, drainMs, drainPauseFactor, flushMs } from './cadence.ts';
import { openProvider } from './choose.ts';
import { SystemClock } from './clock.ts';
import { Collection } from './collection.ts';
import { type Attempt, type EndpointName, Endpoints } from './endpoints.ts';
import { Events, type Listener } from './events.ts';
import { tellNeighbours } from './neighbours.ts';
import { PeerSearch } from './peer_search.ts';
import { logReadiness, Readiness, stopping } from './readiness.ts';
import { type Reload, reloaded, shownChanges } from './reload.ts';
import { describe } from './status.ts';
import { Tasks } from './tasks.ts';

/** A stop ends within 2 s: this is for its steps that wait, the rest for those that do not, and for the log. */
const stopMs = 1500;
/** Of that, for the last spans. */
const spansMs = 1000;

export interface ServiceOptions {
	/** Told of every connection, as it opens, is accepted and closes. */
	readonly onEvent?: (event: ConnectionEvent) => void;
	/** Where the configuration is from. */
	readonly configFile?: string | undefined;
	/** HTTP that cannot listen is tried again, and no reason not to start. */
	readonly retryHttp?: boolean;
	/** Lines of the log that were thrown away so far. */
	readonly logLinesLost?: () => number;
}

export interface Stopped {
	/** The programs stay attached, and count: but for what is `lost`. */
	readonly kept: boolean;
	/** What was to stay and does not, for operators. */
	readonly lost: readonly string[];
	/** Records that were in the ring at the end. */
	readonly recordsLost: number;
}

/** What was under way is left out. */
class Stopping extends Error {}

export class Service implements View {
	readonly clock = new SystemClock();
	readonly #logger: Logger;
	readonly #provider: Provider;
	readonly #store: Store;
	readonly #onEvent: ((event: ConnectionEvent) => void) | undefined;
	readonly #endpoints: Endpoints;
	readonly #attachments: AttachmentTask;
	readonly #tasks: Tasks;
	readonly readiness = new Readiness();
	readonly #startedMs = Date.now();
	readonly #collection: Collection;
	readonly #configFile: string | undefined;
	readonly #logLinesLost: () => number;
	readonly #peers: PeerSearch;
	#config: Config;
	#spans: SpanExport | undefined;
	#events: Events | undefined;
	#reload: Reload = { successful: true, successAtMs: Date.now(), attempts: 0, error: undefined, restartKeys: [] };
	#listening: Endpoint | undefined;
	#served = { http: 'off', socket: 'off' };
	#attached = true;

	private constructor(config: Config, logger: Logger, options: ServiceOptions, provider: Provider) {
		this.#config = config;
		this.#logger = logger;
		this.#onEvent = options.onEvent;
		this.#configFile = options.configFile;
		this.#logLinesLost = options.logLinesLost ?? (() => 0);
		this.#provider = provider;
		this.#tasks = new Tasks(logger);
		this.#peers = new PeerSearch(provider, this.#tasks);
		const metrics = this.#exporter();
		this.#endpoints = new Endpoints({
			create: () => this.#application(metrics),
			log: logger,
			readiness: this.readiness,
			retry: options.retryHttp === true,
		});
		this.#attachments = new AttachmentTask({
			provider,
			readiness: this.readiness,
			endpoints: this.#endpoints,
			log: logger,
			socket: config.http.socket,
			onFailure: (error) => this.#tasks.failed('attachments', error),
		});
		this.#store = new Store(this.#provider.counters, config.clients, () => this.#spanDrops());
		this.#collection = new Collection(provider, this.#store, this.#tasks, this.readiness);
		logReadiness(this.readiness, logger);
	}

	/**
	 * Attaches, listens, and counts from then on. Nothing is left when it throws, but the pins that it found.
	 * @throws {ToascopeError} every code that has to do with this host or the configuration
	 */
	static async start(config: Config, logger: Logger, options: ServiceOptions = {}): Promise<Service> {
		if ((config.http.listen ?? config.http.socket) !== undefined) {
			await requireKnownHttp((socket) => descriptorOf(socket) !== undefined);
		}
		const provider = await openProvider(config, logger);
		// what an earlier daemon left is not ours to throw away
		const keep = provider.adopted;
		let service: Service | undefined;
		try {
			service = new Service(config, logger, options, provider);
			await service.#begin();
			return service;
		} catch (error) {
			if (service === undefined) provider.close(keep, false);
			else await service.stop(keep ? 'keep' : 'detach', false);
			throw explain(error, config);
		}
	}

	async #begin(): Promise<void> {
		const config = this.#config;
		if (config.otel.spans) this.#spans = await this.#startSpans();
		this.#tasks.start('clock', clockMs, () => this.clock.adjust());
		const collections = this.#tasks.start('collect', collectMs, (nextTurn) => this.#collection.run(nextTurn), {
			onFailure: (error) => this.#collection.failed(error),
		});
		const checks = this.#tasks.start('attachments', attachmentsMs, () => this.#attachments.run());
		await Promise.all([collections.first, checks.first]);
		this.#tasks.start('flush', flushMs, (nextTurn) => this.#provider.flush(nextTurn));
		if (this.#spans !== undefined || this.#onEvent !== undefined) {
			const events = this.#listen();
			this.#events = events;
			this.#tasks.start('drain', drainMs, () => events.drain(), { pauseFactor: drainPauseFactor });
		}
		await this.#serve(config.http);
		this.#tell();
		void this.#lookAround();
	}

	async #serve({ listen, socket }: Config['http']): Promise<void> {
		const open = async (name: EndpointName, attempt: Attempt) =>
			(await this.#endpoints.open(name, attempt)) ?? 'not yet';
		if (listen !== undefined) {
			this.#served.http = await open('listen', async (app) => {
				this.#listening = await listenTcp(app, listen);
				return formatEndpoint(this.#listening);
			});
		}
		if (socket !== undefined) {
			const directories: string[] = [];
			this.#served.socket = await open('socket', async (app) => {
				this.#attachments.socketFile = await listenUnix(app, socket, directories);
				return socket;
			});
		}
	}

	#listen(): Events {
		const [spans, onEvent] = [this.#spans, this.#onEvent];
		const listeners: Listener[] = [];
		if (spans !== undefined) listeners.push((event) => spans.onEvent(event));
		if (onEvent !== undefined) listeners.push(onEvent);
		// nobody wants the first for spans
		const types = onEvent === undefined ? [] : ['opened' as const];
		const onFailure = (step: string, error: unknown) => this.#tasks.failed(step, error);
		return new Events(this.#provider, [...types, 'accepted', 'closed'], listeners, onFailure);
	}

	#tell(): void {
		const { name: provider, acceptProgram, cgroup, adopted } = this.#provider;
		const line = this.#attachments.allAttached ? logLines.attached : logLines.started;
		tell(this.#logger, line, { provider, accept: acceptProgram, cgroup, adopted, ...this.#served });
		if (this.#config.trust.length === 0) tell(this.#logger, logLines.trustEmpty);
		if (!this.#provider.wholeHost && this.#config.cgroup === undefined) {
			tell(this.#logger, logLines.notTheRoot, { cgroup });
		}
		if (acceptProgram === 'getpeername') {
			tell(this.#logger, logLines.noFexit, { errno: this.#provider.features.fexit });
		}
	}

	/** After the start: thousands of cgroups and processes are looked at, and READY=1 is not to wait for that. */
	async #lookAround(): Promise<void> {
		const nextTurn = async () => {
			await immediate();
			if (!this.#attached) throw new Stopping();
		};
		try {
			// READY=1 and the first requests come before it
			await nextTurn();
			await tellNeighbours(this.#provider, this.#config, this.#logger, nextTurn);
		} catch (error) {
			if (!(error instanceof Stopping)) this.#tasks.failed('neighbours', error);
		}
	}

	#startSpans(): Promise<SpanExport | undefined> {
		const { endpoint, protocol } = this.#config.otel;
		return startSpans({
			endpoint,
			protocol,
			clock: (ns) => this.clock.toUnixNs(ns),
			resolveContainer: createContainerResolver({ cgroups: this.#cgroupPaths() }),
			logger: this.#logger,
			version,
		});
	}

	/** Where a pid cannot tell which container a process is in. */
	#cgroupPaths(): CgroupPaths | undefined {
		if (pidsAreKernels()) return undefined;
		const root = findCgroup2(readMounts());
		return root === undefined ? undefined : new CgroupPaths(root);
	}

	#spanDrops(): Readonly<Record<string, bigint>> {
		return this.#spans?.stats().dropped ?? { span_queue_full: 0n, span_export_failed: 0n };
	}

	#exporter(): PrometheusExporter {
		return createPrometheusExporter({
			latest: () => this.snapshot(),
			facts: {
				build: { version, node: process.versions.node, libbpf: native().libbpfVersion },
				provider: () => {
					const { name, acceptProgram } = this.#provider;
					const attached = this.#attached && this.#attachments.allAttached;
					return attached ? { provider: name, kernel: release(), mode: acceptProgram } : undefined;
				},
				configReload: () => this.#reload,
				listenFailures: () => this.#endpoints.failures(),
				tasks: () => this.#tasks.statistics(),
				logLinesLost: this.#logLinesLost,
				attachments: () => this.#attachments.report,
			},
			onError: (err, metric) => tell(this.#logger, logLines.metricFailed, { err, metric }),
		});
	}

	#application(metrics: PrometheusExporter): FastifyInstance {
		return createHttp({ view: this, metrics, callerOf, logger: this.#logger.child({}, { level: 'warn' }) });
	}

	/** Where HTTP listens; undefined when it is off, or does not yet. */
	get listening(): Endpoint | undefined {
		return this.#listening;
	}

	get acceptProgram(): AcceptProgram {
		return this.#provider.acceptProgram;
	}

	snapshot(): Snapshot | undefined {
		return this.#store.snapshot;
	}

	lookup(query: LookupQuery): readonly Connection[] {
		return this.#provider.lookup(query, (step, error) => this.#tasks.failed(step, error));
	}

	/** False: BPF is refused, the module alone works. */
	knowsConnections(): boolean {
		return this.acceptProgram !== 'none';
	}

	notReady(): readonly NotReady[] {
		this.#collection.checkAge();
		this.#attachments.checkAge();
		return this.readiness.reasons;
	}

	fresh(): Promise<void> {
		return this.#collection.next();
	}

	status(): object {
		const snapshot = this.snapshot();
		return describe({
			provider: this.#provider,
			config: this.#config,
			configFile: this.#configFile,
			reload: this.#reload,
			startedMs: this.#startedMs,
			spans: this.#spans !== undefined,
			notReady: this.notReady(),
			snapshot,
			recent: this.#collection.recent(),
			listening: this.#listening,
		});
	}

	peers(): Promise<Peers | undefined> {
		return this.#peers.find();
	}

	/** Takes what a reload can change. `read` failing, or the kernel refusing it, leaves all as it was. */
	reload(read: () => Config): void {
		try {
			const next = read();
			const restart = changedRestartKeys(this.#config, next);
			const merged = reloaded(this.#config, next);
			const changed = shownChanges(this.#config, merged);
			this.#provider.reload(merged);
			this.#store.limits = merged.clients;
			this.#logger.level = merged.log.level;
			this.#config = merged;
			const attempts = this.#reload.attempts + 1;
			this.#reload = { successful: true, successAtMs: Date.now(), attempts, error: undefined, restartKeys: restart };
			tell(this.#logger, logLines.reloaded, { changed });
			if (restart.length > 0) tell(this.#logger, logLines.restartKeys, { keys: restart });
		} catch (err) {
			this.#reload = { ...this.#reload, successful: false, attempts: this.#reload.attempts + 1, error: err };
			tell(this.#logger, logLines.reloadFailed, { err });
		}
	}

	/** Whether 'keep' leaves anything there. */
	#keeps(onExit: Config['onExit']): boolean {
		return onExit === 'keep' && this.#config.bpf.pin !== undefined;
	}

	/**
	 * Ends within 2 s. 'keep': what is pinned goes on counting. `started` false: #begin() failed. Does nothing the second time.
	 * Returns what became of it, for the log.
	 */
	async stop(onExit = this.#config.onExit, started = true): Promise<Stopped> {
		if (!this.#attached) return { kept: this.#keeps(onExit), lost: [], recordsLost: 0 };
		this.#attached = false;
		this.#peers.end();
		this.readiness.set(stopping, 'toascope is stopping');
		const deadline = new Deadline(stopMs);
		const kept = this.#keeps(onExit);
		let recordsLost = 0;
		let lost: readonly string[] = [];
		try {
			await withinMs(this.#tasks.stop(), deadline.leftMs);
			recordsLost = (await this.#events?.end(kept, deadline)) ?? 0;
		} finally {
			// also where the kernel refuses something: a server that is open keeps the process alive
			const ends = [this.#spans?.shutdown(deadline.atMost(spansMs)), this.#endpoints.close()];
			await withinMs(Promise.allSettled(ends), deadline.leftMs);
			lost = this.#provider.close(onExit === 'keep', started);
		}
		return { kept, lost, recordsLost };
	}
}
