// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope demo`: the whole way at work on this machine. IPv6 clients, a NAT64 gateway and an IPv4
 * server in a lab of network namespaces, the daemon watching the server. Nothing is left behind.
 */
import { requirePrivileges } from '../capture/privileges.ts';
import { type Config, toConfig } from '../config/config.ts';
import { fileSchema } from '../config/schema.ts';
import { exitCode, ToascopeError } from '../errors.ts';
import { Lab, nat64Server, network } from '../lab/lab.ts';
import type { Result } from '../lab/protocol.ts';
import { formatEndpoint } from '../model/address.ts';
import type { ConnectionEvent } from '../model/connection.ts';
import { createLogger } from '../service/log.ts';
import { LogDestination } from '../service/log_destination.ts';
import { Service, type ServiceOptions } from '../service/service.ts';
import { demoHeader, eventLine, tallyText } from './demo_text.ts';
import { emptyTally, Judge, type Tally } from './demo_truth.ts';

export interface DemoOptions {
	/** Make the connections, check them, end. */
	readonly once?: true;
	readonly clients: number;
	/** With `once`. */
	readonly connections?: number;
	readonly json?: true;
	/** ADDR:PORT of /metrics. */
	readonly listen: string;
}

/** Where the server listens, and where clients find it behind the gateway. */
const port = 8080;
const publicPort = 80;
const firstClient = '2001:db8:c::1';
const defaultListen = '127.0.0.1:10646';
const defaultConnections = 500;
/** So many at a time: what the table of connections holds is asked before it is full. */
const batchSize = 10_000;

/**
 * Runs the demo. Returns 0 when every connection was resolved to the client that really made it.
 * @throws {ToascopeError} what keeps it from running on this host
 */
export async function demo(options: DemoOptions): Promise<number> {
	const { once, clients, connections = defaultConnections } = options;
	if (once !== undefined && clients > connections) {
		throw new ToascopeError('USAGE', `${connections} connections cannot come from ${clients} clients`, {
			hint: 'raise --connections, or lower --clients',
		});
	}
	for (const name of ['json', 'connections'] as const) {
		if (once !== undefined || options[name] === undefined) continue;
		throw new ToascopeError('USAGE', `--${name} goes with --once`, { hint: 'add --once' });
	}
	configuration(options.listen);
	requirePrivileges('the demo', ['CAP_SYS_ADMIN']);
	const stop = stopSignal();
	try {
		return await show(options, stop);
	} catch (error) {
		// Ctrl-C ends the lab's processes as well as this one, also while it starts
		if (stop.stopped && options.once === undefined) return exitCode.done;
		throw error;
	} finally {
		stop.dispose();
	}
}

/** What the end waits for a terminal that stands still. */
const lastLinesMs = 300;

async function show(options: DemoOptions, stop: Stop): Promise<number> {
	await using lab = await Lab.open({ routes: [{ listenPort: publicPort, backendPort: port, profile: 'nat64' }] });
	const judge = new Judge(lab.netnsInode('server'));
	// a pager that is paused must not hold up the daemon, which runs here
	const screen = new LogDestination({ fd: 1, onReaderBack: (lost) => screen.write(`(${lost} lines left out)\n`) });
	await lab.echoServer({ port, onRecords: (records) => judge.served(records) });
	const service = await startService(options, (event) => {
		// another demo on this machine has the same addresses
		const ours = event.connection.netns === lab.netnsInode('server');
		if (ours && event.type === 'closed') screen.write(eventLine(event.connection));
	});
	try {
		return options.once
			? await runOnce(options, lab, judge, service, stop)
			: await runOn(options, lab, service, stop, screen);
	} finally {
		await service.stop('detach');
	}
}

function configuration(listen: string): Config {
	const settings = {
		listeners: { ports: [port] },
		trust: [network.pool],
		bpf: { pin: 'off' },
		http: { listen, socket: 'off' },
		log: { level: 'warn' },
	};
	const parsed = fileSchema.safeParse(settings);
	if (parsed.success) return toConfig(parsed.data, process.env);
	throw new ToascopeError('USAGE', `--listen ${listen}: ${parsed.error.issues[0]?.message ?? 'not an address'}`);
}

/** A daemon that runs on this machine may have the usual port: then any free one. */
async function startService(options: DemoOptions, onEvent: (event: ConnectionEvent) => void): Promise<Service> {
	const start = (listen: string) => {
		const config = configuration(listen);
		const service: ServiceOptions = options.once === undefined ? { onEvent } : {};
		return Service.start(config, createLogger(config.log), service);
	};
	try {
		return await start(options.listen);
	} catch (error) {
		const taken = error instanceof ToascopeError && error.code === 'ADDRESS_IN_USE';
		if (!taken || options.listen !== defaultListen) throw error;
		return start('127.0.0.1:0');
	}
}

async function runOnce(options: DemoOptions, lab: Lab, judge: Judge, service: Service, stop: Stop): Promise<number> {
	const { connections = defaultConnections } = options;
	const client = await lab.client();
	const begun = performance.now();
	let tally: Tally = emptyTally;
	for (let made = 0; made < connections; made += batchSize) {
		const count = Math.min(batchSize, connections - made);
		const clients = Math.min(options.clients, count);
		const run = client.run({
			from: firstClient,
			clients,
			count,
			to: nat64Server,
			port: publicPort,
			send: 200,
			receive: 1000,
		});
		const results = await Promise.race([run, stop.promise]);
		if (results === undefined) throw new ToascopeError('LAB_FAILED', 'interrupted before the end');
		tally = await judge.judge(results, tally, (question) => service.lookup(question));
	}
	const seconds = (performance.now() - begun) / 1000;
	const report = {
		provider: 'bpf',
		accept_program: service.acceptProgram,
		clients: tally.clients.size,
		connections: tally.connections,
		resolved: tally.resolved,
		mismatched: tally.mismatched,
		unresolved: tally.unresolved,
		failed: tally.failed,
		bytes_mismatched: tally.bytesMismatched,
		seconds: Math.round(seconds * 1000) / 1000,
	};
	process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : tallyText(report));
	const right = tally.resolved === connections && tally.mismatched === 0 && tally.bytesMismatched === 0;
	return right ? exitCode.done : exitCode.failed;
}

async function runOn(
	options: DemoOptions,
	lab: Lab,
	service: Service,
	stop: Stop,
	screen: LogDestination,
): Promise<number> {
	const client = await lab.client();
	const url = service.listening === undefined ? undefined : `http://${formatEndpoint(service.listening)}`;
	screen.write(demoHeader(url));
	while (!stop.stopped) {
		const count = 1 + Math.floor(Math.random() * 4);
		const made = client.run({
			from: `2001:db8:c::${(1 + Math.floor(Math.random() * options.clients)).toString(16)}`,
			clients: count,
			to: nat64Server,
			port: publicPort,
			send: 24 + Math.floor(Math.random() * 2000),
			receive: Math.floor(Math.random() * 50_000),
		});
		// Ctrl-C ends the lab's processes as well as this one
		const results = await Promise.race([made.catch(() => [] as Result[]), stop.promise]);
		if (results === undefined || stop.stopped) break;
		await Promise.race([new Promise((resolve) => setTimeout(resolve, 400 * Math.random())), stop.promise]);
	}
	screen.write('\n');
	await screen.flush(lastLinesMs);
	return exitCode.done;
}

interface Stop {
	readonly promise: Promise<undefined>;
	readonly stopped: boolean;
	dispose(): void;
}

function stopSignal(): Stop {
	const { promise, resolve } = Promise.withResolvers<undefined>();
	let stopped = false;
	const take = () => {
		stopped = true;
		resolve(undefined);
	};
	const names = ['SIGINT', 'SIGTERM'] as const;
	for (const name of names) process.on(name, take);
	return {
		promise,
		get stopped() {
			return stopped;
		},
		dispose() {
			for (const name of names) process.off(name, take);
		},
	};
}
