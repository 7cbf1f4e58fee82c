// SPDX-License-Identifier: Apache-2.0
/** The environment of a soak test: a daemon under load, and the collector of its spans. */
import { join } from 'node:path';
import { Sandbox } from '../../bench/sandbox.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { type KernelObjects, kernelObjectsOf } from '../kit/kernel/bpf_objects.ts';
import { MonotonicWatch } from '../kit/telemetry/monotonic_watch.ts';
import { SteadyLoad } from '../kit/wire/steady_load.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';
import { CollectorProcess } from './collector_process.ts';
import { Flatness } from './flatness.ts';

/**
 * A small table, and clients that return shortly after they became idle, so that some are folded
 * all the time.
 */
const clients = 'clients: {capacity: 4000, max_exported: 500, idle: 1 s}';
const [perSecond, distinctClients] = [200, 3000];

export class SoakEnvironment implements AsyncDisposable {
	readonly sandbox: Sandbox;
	readonly collector: CollectorProcess;
	readonly load: SteadyLoad;
	/**
	 * Ports of the load, of the service with its own cgroup, and of the connections whose spans are
	 * counted at the end.
	 */
	readonly ports: { readonly load: number; readonly service: number; readonly last: number };
	readonly pin: string;
	/** Checks the daemon's counters, across its restarts. */
	readonly counterWatch = new MonotonicWatch();
	readonly bpfObjects: KernelObjects[] = [];
	/** The load of the last connections. */
	lastLoad: SteadyLoad | undefined;
	daemon: Daemon;
	flatness: Flatness;

	private constructor(
		sandbox: Sandbox,
		collector: CollectorProcess,
		load: SteadyLoad,
		ports: SoakEnvironment['ports'],
		daemon: Daemon,
	) {
		this.sandbox = sandbox;
		this.collector = collector;
		this.load = load;
		this.ports = ports;
		this.pin = pinOf(ports.load);
		this.daemon = daemon;
		this.flatness = this.#begin();
	}

	static async open(signal: AbortSignal): Promise<SoakEnvironment> {
		const first = somePorts(3);
		const ports = { load: first, service: first + 1, last: first + 2 };
		await using parts = new AsyncDisposableStack();
		const sandbox = parts.use(await Sandbox.open(signal));
		const collector = parts.use(await CollectorProcess.start(ports.last));
		const daemon = parts.use(await startDaemon(sandbox, ports, collector.endpoint));
		const load = parts.use(
			await SteadyLoad.start({ sandbox, port: ports.load, clients: distinctClients, perSecond, nice: true }),
		);
		parts.move();
		return new SoakEnvironment(sandbox, collector, load, ports, daemon);
	}

	/** Starts the daemon again. */
	async restart(onExit: 'keep' | 'detach' = 'keep'): Promise<void> {
		this.daemon = await startDaemon(this.sandbox, this.ports, this.collector.endpoint, onExit);
		this.flatness = this.#begin();
	}

	#begin(): Flatness {
		const { pid = 0 } = this.daemon.child;
		this.bpfObjects.push(kernelObjectsOf(pid));
		return new Flatness(pid);
	}

	configuration(more = ''): string {
		return configurationOf(this.sandbox, this.ports, 'keep', more);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.lastLoad?.[Symbol.asyncDispose]();
		await this.load[Symbol.asyncDispose]();
		await this.daemon[Symbol.asyncDispose]();
		await this.collector[Symbol.asyncDispose]();
		await this.sandbox[Symbol.asyncDispose]();
	}
}

function pinOf(port: number): string {
	return `/sys/fs/bpf/toascope-soak-${process.pid}-${port}`;
}

function configurationOf(sandbox: Sandbox, ports: SoakEnvironment['ports'], onExit: string, more = ''): string {
	return [
		`listeners: {ports: [${ports.load}, ${ports.last}]}`,
		`bpf: {pin: ${pinOf(ports.load)}}`,
		`on_exit: ${onExit}`,
		'log: {format: json}',
		`http: {listen: "127.0.0.1:0", socket: ${join(sandbox.scratch, 'toascope.sock')}}`,
		clients,
		more,
		'',
	].join('\n');
}

function startDaemon(
	sandbox: Sandbox,
	ports: SoakEnvironment['ports'],
	endpoint: string,
	onExit: 'keep' | 'detach' = 'keep',
): Promise<Daemon> {
	return Daemon.start({
		config: configurationOf(sandbox, ports, onExit),
		env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: '200' },
		parent: sandbox.scratch,
		through: sandbox.killedWithParent,
	});
}
