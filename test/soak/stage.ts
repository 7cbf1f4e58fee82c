// SPDX-License-Identifier: Apache-2.0
/** What a soak works on: a daemon under load, one for a cgroup that comes and goes, and the collector of their spans. */
import { join } from 'node:path';
import { Ground } from '../../bench/ground.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { Grown } from '../fixtures/grown.ts';
import { type Belongings, belongings } from '../fixtures/leftovers.ts';
import { somePorts } from '../fixtures/stage.ts';
import { SteadyLoad } from '../fixtures/steady_load.ts';
import { CollectorProcess } from './collector_process.ts';
import { Flatness } from './flatness.ts';

/** Few places, and clients that come back a moment after they were idle: all the time some are folded. */
const clients = 'clients: {capacity: 4000, max_exported: 500, idle: 1 s}';
const [perSecond, distinctClients] = [200, 3000];

export class SoakStage implements AsyncDisposable {
	readonly ground: Ground;
	readonly collector: CollectorProcess;
	readonly load: SteadyLoad;
	/** Of the load, of the cgroup's service, and of the connections whose spans are counted at the end. */
	readonly ports: { readonly load: number; readonly service: number; readonly last: number };
	readonly pin: string;
	/** Its counters, over all its lives. */
	readonly grown = new Grown();
	readonly had: Belongings[] = [];
	/** For the last connections. */
	lastLoad: SteadyLoad | undefined;
	daemon: Daemon;
	flatness: Flatness;

	private constructor(
		ground: Ground,
		collector: CollectorProcess,
		load: SteadyLoad,
		ports: SoakStage['ports'],
		daemon: Daemon,
	) {
		this.ground = ground;
		this.collector = collector;
		this.load = load;
		this.ports = ports;
		this.pin = pinOf(ports.load);
		this.daemon = daemon;
		this.flatness = this.#begin();
	}

	static async open(signal: AbortSignal): Promise<SoakStage> {
		const first = somePorts(3);
		const ports = { load: first, service: first + 1, last: first + 2 };
		await using parts = new AsyncDisposableStack();
		const ground = parts.use(await Ground.open(signal));
		const collector = parts.use(await CollectorProcess.start(ports.last));
		const daemon = parts.use(await startDaemon(ground, ports, collector.endpoint));
		const load = parts.use(
			await SteadyLoad.start({ ground, port: ports.load, clients: distinctClients, perSecond, nice: true }),
		);
		parts.move();
		return new SoakStage(ground, collector, load, ports, daemon);
	}

	/** Another life of the daemon. */
	async startAgain(onExit: 'keep' | 'detach' = 'keep'): Promise<void> {
		this.daemon = await startDaemon(this.ground, this.ports, this.collector.endpoint, onExit);
		this.flatness = this.#begin();
	}

	#begin(): Flatness {
		const { pid = 0 } = this.daemon.child;
		this.had.push(belongings(pid));
		return new Flatness(pid);
	}

	configuration(more = ''): string {
		return configurationOf(this.ground, this.ports, 'keep', more);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.lastLoad?.[Symbol.asyncDispose]();
		await this.load[Symbol.asyncDispose]();
		await this.daemon[Symbol.asyncDispose]();
		await this.collector[Symbol.asyncDispose]();
		await this.ground[Symbol.asyncDispose]();
	}
}

function pinOf(port: number): string {
	return `/sys/fs/bpf/toascope-soak-${process.pid}-${port}`;
}

function configurationOf(ground: Ground, ports: SoakStage['ports'], onExit: string, more = ''): string {
	return [
		`listeners: {ports: [${ports.load}, ${ports.last}]}`,
		`bpf: {pin: ${pinOf(ports.load)}}`,
		`on_exit: ${onExit}`,
		'log: {format: json}',
		`http: {listen: "127.0.0.1:0", socket: ${join(ground.scratch, 'toascope.sock')}}`,
		clients,
		more,
		'',
	].join('\n');
}

function startDaemon(
	ground: Ground,
	ports: SoakStage['ports'],
	endpoint: string,
	onExit: 'keep' | 'detach' = 'keep',
): Promise<Daemon> {
	return Daemon.start({
		config: configurationOf(ground, ports, onExit),
		env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: '200' },
		parent: ground.scratch,
		through: ground.mortal,
	});
}
