// SPDX-License-Identifier: Apache-2.0
/**
 * The assembled daemon: provider, store, exporters, HTTP. Data flows in that order; this file is
 * the only one that knows all of them.
 */

import { release } from 'node:os';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { native } from '../../native/binding.ts';
import type { StatusJson } from '../api/status.ts';
import { toOperatorError } from '../capture/bpf_errors.ts';
import type { AcceptProgram, Provider, Tracker } from '../capture/provider.ts';
import { bounds } from '../capture/records/records.ts';
import type { Config } from '../config/config.ts';
import { Deadline, withinMs } from '../deadline.ts';
import { yieldOnce } from '../event_loop.ts';
import { createPrometheusExporter, type PrometheusExporter } from '../export/prometheus/exporter.ts';
import { createMetrics, type Metrics } from '../export/registry.ts';
import { bootId } from '../host/boot_id.ts';
import { callerOf } from '../host/caller.ts';
import { descriptorOf } from '../host/descriptor.ts';
import { createHttp } from '../http/app.ts';
import { listenTcp } from '../http/listen.ts';
import { requireSupportedHttp } from '../http/node_check.ts';
import { listenUnix } from '../http/unix_socket.ts';
import type { NotReady, View } from '../http/view.ts';
import { logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { type Endpoint, formatEndpoint } from '../model/address.ts';
import type { Connection, ConnectionEvent } from '../model/connection.ts';
import { Exemplars } from '../model/exemplars.ts';
import type { LookupQuery, LookupResult } from '../model/lookup.ts';
import { ModuleStore } from '../model/module_store.ts';
import type { Peers } from '../model/peers.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { SnapshotStore } from '../model/snapshot_store.ts';
import { Store } from '../model/store.ts';
import { TraceIdSource, type TraceIds } from '../model/trace_ids.ts';
import { version } from '../version.ts';
import { ActiveConfig } from './active_config.ts';
import { AttachmentTask } from './attachment_task.ts';
import { attachmentsMs, clockMs, collectMs } from './cadence.ts';
import { SystemClock } from './clock.ts';
import { Collection } from './collection.ts';
import { hostContainers } from './containers.ts';
import { type Attempt, type EndpointName, Endpoints } from './endpoints.ts';
import type { Events } from './events.ts';
import { FlushPace } from './flush_pace.ts';
import { Lookups } from './lookups.ts';
import { logNeighboursInBackground } from './neighbours.ts';
import { openProvider } from './open_provider.ts';
import { PeerSearch } from './peer_search.ts';
import { logReadiness, Readiness, stopping } from './readiness.ts';
import { logStart } from './start_log.ts';
import { statusJson } from './status.ts';
import { Tasks } from './tasks.ts';
import { noDrops, Telemetry } from './telemetry.ts';
import { startTracking } from './tracking.ts';

/**
 * A stop ends within 2 s: this is for its steps that wait; the rest is for those that do not, and
 * for the log.
 */
const stopMs = 1500;
/** The part of stopMs for the last telemetry. */
const telemetryMs = 1000;

export interface ServiceOptions {
	/** Called for every connection as it opens, is accepted and closes. */
	readonly onEvent?: (event: ConnectionEvent) => void;
	/** The file that the configuration is from. */
	readonly configFile?: string | undefined;
	/** HTTP that cannot listen is tried again, and does not make the start fail. */
	readonly retryHttp?: boolean;
	/** Log lines dropped so far. */
	readonly logLinesDropped?: () => number;
}

export interface StopResult {
	/** The programs stay attached and count, except for what is in `notKept`. */
	readonly kept: boolean;
	/** What should have stayed but did not, for operators. */
	readonly notKept: readonly string[];
	/** Records that were dropped because they were still in the ring at the end. */
	readonly recordsDropped: number;
}

export class Service implements View {
	readonly clock = new SystemClock();
	readonly #logger: Logger;
	readonly #provider: Provider;
	readonly #store: SnapshotStore;
	readonly #onEvent: ((event: ConnectionEvent) => void) | undefined;
	readonly #endpoints: Endpoints;
	readonly #attachments: AttachmentTask;
	readonly #tasks: Tasks;
	readonly readiness = new Readiness();
	readonly #startedMs = Date.now();
	readonly #collection: Collection;
	readonly #configFile: string | undefined;
	readonly #logLinesDropped: () => number;
	/** Undefined: no connection is tracked. */
	readonly #peers: PeerSearch | undefined;
	readonly #config: ActiveConfig;
	/** Undefined: no connection is tracked. */
	readonly #traceIds: TraceIdSource | undefined;
	readonly #flushPace = new FlushPace();
	readonly #containers = hostContainers();
	readonly #lookups: Lookups;
	readonly #exemplars = new Exemplars(bounds);
	readonly #metrics: Metrics;
	#telemetry: Telemetry | undefined;
	#events: Events | undefined;
	#listening: Endpoint | undefined;
	#served = { http: 'off', socket: 'off' };
	#attached = true;

	private constructor(config: Config, logger: Logger, options: ServiceOptions, provider: Provider) {
		this.#config = new ActiveConfig(config, logger);
		this.#logger = logger;
		this.#onEvent = options.onEvent;
		this.#configFile = options.configFile;
		this.#logLinesDropped = options.logLinesDropped ?? (() => 0);
		this.#provider = provider;
		this.#tasks = new Tasks(logger);
		const { tracker } = provider;
		const [flushPace, containers, tasks] = [this.#flushPace, this.#containers, this.#tasks];
		this.#lookups = new Lookups({ tracker, flushPace, containers, tasks });
		this.#peers = provider.tracker && new PeerSearch(provider.tracker, this.#tasks);
		this.#traceIds = provider.tracker && new TraceIdSource(provider.tracker.secret, bootId());
		this.#metrics = this.#createMetrics();
		const exporter = this.#exporter();
		this.#endpoints = new Endpoints({
			create: () => this.#application(exporter),
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
			onFailure: (error) => this.#tasks.recordFailure('attachments', error),
		});
		const telemetryDrops = () => this.#telemetry?.drops() ?? noDrops;
		this.#store =
			provider.tracker === undefined
				? new ModuleStore(() => provider.moduleEvents(), config.clients, telemetryDrops)
				: new Store(provider.tracker.counters, config.clients, telemetryDrops, this.#exemplars);
		this.#collection = new Collection(provider.tracker, this.#store, this.#tasks, this.readiness);
		logReadiness(this.readiness, logger);
	}

	/**
	 * Attaches, listens, and counts from then on. When it throws, nothing is left behind except the
	 * pins that it found.
	 * @throws {ToascopeError} every code that concerns this host or the configuration
	 */
	static async start(config: Config, logger: Logger, options: ServiceOptions = {}): Promise<Service> {
		if ((config.http.listen ?? config.http.socket) !== undefined) {
			await requireSupportedHttp((socket) => descriptorOf(socket) !== undefined);
		}
		const provider = await openProvider(config, logger);
		// a start that fails must not remove what an earlier daemon left
		const keep = provider.tracker?.adopted === true;
		let service: Service | undefined;
		try {
			service = new Service(config, logger, options, provider);
			await service.#begin();
			return service;
		} catch (error) {
			if (service === undefined) provider.close(keep, false);
			else await service.stop(keep ? 'keep' : 'detach', false);
			throw toOperatorError(error, config);
		}
	}

	async #begin(): Promise<void> {
		const config = this.#config.current;
		this.#telemetry = await Telemetry.start({
			config,
			metrics: this.#metrics,
			clock: this.clock,
			traceIds: this.#traceIds,
			resolveContainer: this.#containers,
			onSpan: (event, ids, endNs) => this.#exemplars.add(event, ids, endNs),
			setSampleThreshold: (threshold) => this.#provider.tracker?.setSampleThreshold(threshold),
			logger: this.#logger,
			tasks: this.#tasks,
			onMetricError: this.#onMetricError,
		});
		this.#tasks.start('clock', clockMs, () => this.clock.adjust());
		const collections = this.#tasks.start('collect', collectMs, (yieldLoop) => this.#collection.run(yieldLoop), {
			onFailure: (error) => this.#collection.recordFailure(error),
		});
		const checks = this.#tasks.start('attachments', attachmentsMs, () => this.#attachments.run());
		await Promise.all([collections.first, checks.first]);
		await this.#telemetry.runMetrics(this.#provider.tracker?.adopted === true);
		if (this.#provider.tracker !== undefined) this.#track(this.#provider.tracker);
		await this.#serve(config.http);
		logStart(
			{ provider: this.#provider, config, allAttached: this.#attachments.allAttached, ...this.#served },
			this.#logger,
		);
		logNeighboursInBackground(this.#provider, config, this.#logger, () => !this.#attached).catch((error) =>
			this.#tasks.recordFailure('neighbours', error),
		);
	}

	#track(tracker: Tracker): void {
		this.#events = startTracking({
			tracker,
			tasks: this.#tasks,
			flushPace: this.#flushPace,
			spans: this.#telemetry?.spans,
			records: this.#telemetry?.records,
			spanIntervalMs: this.#config.current.otel.spanIntervalMs,
			onEvent: this.#onEvent,
		});
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

	#createMetrics(): Metrics {
		const startedNs = BigInt(this.#startedMs) * 1_000_000n;
		return createMetrics({
			latest: () => this.snapshot(),
			startedNs,
			countersSinceNs: this.#provider.tracker?.countersSinceNs,
			state: {
				build: { version, node: process.versions.node, libbpf: native().libbpfVersion },
				provider: () => {
					const { name, acceptProgram } = this.#provider;
					const attached = this.#attached && this.#attachments.allAttached;
					return attached ? { provider: name, kernel: release(), mode: acceptProgram } : undefined;
				},
				configReload: () => this.#config.reload,
				listenFailures: () => this.#endpoints.failures(),
				tasks: () => this.#tasks.statistics(),
				logLinesDropped: this.#logLinesDropped,
				attachments: () => this.#attachments.report,
				otlp: () => this.#telemetry?.statistics() ?? [],
				spanRatio: () => this.#telemetry?.spans?.sampling.ratios.current,
				retainedNs: () => this.#lookups.retention()?.retainedNs,
			},
		});
	}

	readonly #onMetricError = (err: unknown, metric: string) =>
		logLine(this.#logger, logLines.metricFailed, { err, metric });

	#exporter(): PrometheusExporter {
		return createPrometheusExporter({ metrics: this.#metrics, onError: this.#onMetricError });
	}

	#application(metrics: PrometheusExporter): FastifyInstance {
		return createHttp({ view: this, metrics, callerOf, logger: this.#logger.child({}, { level: 'warn' }) });
	}

	/** Where HTTP listens; undefined when it is off or does not listen yet. */
	get listening(): Endpoint | undefined {
		return this.#listening;
	}

	get acceptProgram(): AcceptProgram {
		return this.#provider.acceptProgram;
	}

	snapshot(): Snapshot | undefined {
		return this.#store.snapshot;
	}

	refreshLookups(): Promise<void> {
		return this.#lookups.refresh();
	}

	lookup(query: LookupQuery): LookupResult {
		return this.#lookups.find(query);
	}

	containerOf(connection: Connection): string | undefined {
		return this.#lookups.containerOf(connection);
	}

	traceOf(connection: Connection): TraceIds | undefined {
		const { spans, records } = this.#telemetry ?? {};
		if ((spans ?? records) === undefined || connection.client === undefined) return undefined;
		return this.#traceIds?.of(connection);
	}

	/** False: BPF is refused, and only the module works. */
	tracksConnections(): boolean {
		return this.#provider.tracker !== undefined;
	}

	notReady(): readonly NotReady[] {
		this.#collection.checkAge();
		this.#attachments.checkAge();
		return this.readiness.reasons;
	}

	nextCollection(): Promise<void> {
		return this.#collection.next();
	}

	status(): StatusJson {
		const snapshot = this.snapshot();
		return statusJson({
			provider: this.#provider,
			config: this.#config.current,
			configFile: this.#configFile,
			reload: this.#config.reload,
			startedMs: this.#startedMs,
			spanRatios: this.#telemetry?.spans?.sampling.ratios,
			retention: this.#lookups.retention(),
			otlp: this.#telemetry?.status() ?? [],
			otlpOff: this.#telemetry?.off ?? {},
			notReady: this.notReady(),
			snapshot,
			recent: this.#collection.recent(),
			listening: this.#listening,
		});
	}

	async peers(): Promise<Peers | undefined> {
		return this.#peers === undefined ? { connections: 0, busiest: [], listening: [] } : this.#peers.find();
	}

	/**
	 * Applies what a reload can change. If `read` fails, or the kernel refuses it, everything stays
	 * as it was.
	 */
	reload(read: () => Config): void {
		this.#config.replace(read, (config) => {
			this.#provider.reload(config);
			this.#store.limits = config.clients;
			this.#telemetry?.spans?.sampling.configure(config.otel.sampling.ratio);
			this.#logger.level = config.log.level;
		});
	}

	/** The last collection: what was counted since the previous one is still exported. */
	async #collectOnce(deadline: Deadline): Promise<void> {
		const collecting = this.#store.collect(async (until = yieldOnce()) => {
			await until;
			if (deadline.remainingMs === 0) throw new Error('the stop is out of time');
		});
		await withinMs(collecting, deadline.remainingMs).catch((error) => this.#tasks.recordFailure('collect', error));
	}

	/** Whether 'keep' leaves anything in the kernel. */
	#shouldKeep(onExit: Config['onExit']): boolean {
		return onExit === 'keep' && this.#config.current.bpf.pin !== undefined;
	}

	/**
	 * Ends within 2 s. With 'keep', what is pinned goes on counting. `started` false: #begin()
	 * failed. Does nothing the second time. Returns what has become of the programs, for the log.
	 */
	async stop(onExit = this.#config.current.onExit, started = true): Promise<StopResult> {
		if (!this.#attached) return { kept: this.#shouldKeep(onExit), notKept: [], recordsDropped: 0 };
		this.#attached = false;
		this.#peers?.end();
		this.#telemetry?.stop();
		this.readiness.set(stopping, 'toascope is stopping');
		const deadline = new Deadline(stopMs);
		const kept = this.#shouldKeep(onExit);
		let recordsDropped = 0;
		let notKept: readonly string[] = [];
		try {
			await withinMs(this.#tasks.stop(), deadline.remainingMs);
			recordsDropped = (await this.#events?.end(kept, deadline)) ?? 0;
			if (started && this.#telemetry?.sendsMetrics === true) await this.#collectOnce(deadline);
		} finally {
			// also where the kernel refuses something: a server that is open keeps the process
			// alive
			const ends = [this.#telemetry?.end(deadline.atMost(telemetryMs)), this.#endpoints.close()];
			await withinMs(Promise.allSettled(ends), deadline.remainingMs);
			notKept = this.#provider.close(onExit === 'keep', started);
		}
		return { kept, notKept, recordsDropped };
	}
}
