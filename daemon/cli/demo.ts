// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope demo`: all parts at work on this machine. IPv6 clients, a NAT64 gateway and an IPv4
 * server run in a lab of network namespaces, and the daemon observes the server. Nothing is left
 * behind.
 */
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { type Config, toConfig } from '../config/config.ts';
import { fileSchema } from '../config/schema.ts';
import { exitCode, ToascopeError } from '../errors.ts';
import { requirePrivileges } from '../host/privileges.ts';
import { Lab, nat64Server, network } from '../lab/lab.ts';
import type { Batch, ConnectionResult } from '../lab/protocol.ts';
import { addressAfter } from '../lab/sources.ts';
import { formatEndpoint } from '../model/address.ts';
import type { ConnectionEvent } from '../model/connection.ts';
import { createLogger } from '../service/log.ts';
import { LogDestination } from '../service/log_destination.ts';
import { Service, type ServiceOptions } from '../service/service.ts';
import { demoHeader, eventLine, reportOf, tallyText } from './demo_text.ts';
import { BackendCheck, emptyTally, LabCheck, type Tally } from './demo_truth.ts';

export interface DemoOptions {
	/** Make the connections, check them, and exit. */
	readonly once?: true;
	readonly clients: number;
	/** Only with `once`. */
	readonly connections?: number;
	readonly json?: true;
	/** ADDR:PORT of /metrics. */
	readonly listen: string;
	/** Port of a server on this host's 127.0.0.1, which replaces the server of the lab. */
	readonly backend?: number;
}

/** The port of the server, and the port of the gateway through which clients reach it. */
const port = 8080;
const publicPort = 80;
/** Addresses of the gateway for a server of this host: every address of 127.0.0.0/8 is local. */
const hostPool = '127.100.0.0/28';
const hostServer = '64:ff9b::127.0.0.1';
const firstClient = '2001:db8:c::1';
/** The last is 2001:db8:c::ffff. */
const clientsMax = 65_535;
const defaultListen = '127.0.0.1:10646';
const defaultConnections = 500;
/** Connections of a batch: all of them are looked up before the table of connections is full. */
const batchSize = 10_000;

/**
 * Runs the demo. Returns 0 when every connection was resolved to the client that really made it.
 * @throws {ToascopeError} what prevents it from running on this host
 */
export async function demo(options: DemoOptions): Promise<number> {
	const { once: isOnce, clients, connections = defaultConnections } = options;
	if (isOnce !== undefined && clients > connections) {
		throw new ToascopeError('USAGE', `${connections} connections cannot come from ${clients} clients`, {
			hint: 'raise --connections, or lower --clients',
		});
	}
	if (clients > clientsMax) {
		throw new ToascopeError('USAGE', `--clients ${clients}: the lab has at most ${clientsMax} clients`, {
			hint: `lower --clients to ${clientsMax}`,
		});
	}
	for (const name of ['json', 'connections'] as const) {
		if (isOnce !== undefined || options[name] === undefined) continue;
		throw new ToascopeError('USAGE', `--${name} requires --once`, { hint: 'add --once' });
	}
	if (isOnce !== undefined && options.backend !== undefined) {
		throw new ToascopeError('USAGE', '--backend cannot be combined with --once', {
			hint: "the answers of your server are not known, so there is nothing to check: omit --once, and watch your server's log",
		});
	}
	configuration(options);
	requirePrivileges('the demo', ['CAP_SYS_ADMIN']);
	const stop = stopSignal();
	try {
		return await show(options, stop);
	} catch (error) {
		// Ctrl-C ends the processes of the lab as well as this one, even during the start
		if (stop.stopped && options.once === undefined) return exitCode.done;
		throw error;
	} finally {
		stop.dispose();
	}
}

/**
 * Standard output. When its reader has gone it stops the demo, which would otherwise run until a
 * signal stops it.
 */
function screenUntil(stop: Stop): LogDestination {
	const screen = new LogDestination({
		fd: 1,
		onResumed: (lost) => screen.write(`(${lost} lines left out)\n`),
		onReaderGone: () => stop.now(),
	});
	return screen;
}

/** How long an exit waits for a stalled terminal. */
const lastLinesMs = 300;

async function show(options: DemoOptions, stop: Stop): Promise<number> {
	return options.backend === undefined ? showLab(options, stop) : showBackend(options, options.backend, stop);
}

async function showLab(options: DemoOptions, stop: Stop): Promise<number> {
	await using lab = await Lab.open({ routes: [{ listenPort: publicPort, backendPort: port, profile: 'nat64' }] });
	const truth = new LabCheck(lab.netnsInode('server'));
	// a paused pager must not block the daemon, which runs in this process
	const screen = screenUntil(stop);
	await lab.echoServer({ port, onRecords: (records) => truth.served(records) });
	const service = await startService(options, (event) => {
		// another demo on this machine has the same addresses
		const ours = event.connection.netns === lab.netnsInode('server');
		if (ours && event.type === 'closed') screen.write(eventLine(event.connection));
	});
	let tally: Tally = emptyTally;
	let seconds: number;
	try {
		if (options.once) return await runOnce(options, lab, truth, service, stop);
		seconds = await runOn(options, lab, service, stop, screen, {
			batch: () => ({
				to: nat64Server,
				send: 24 + Math.floor(Math.random() * 2000),
				receive: Math.floor(Math.random() * 50_000),
			}),
			async check(results) {
				tally = await truth.check(results, tally, (question) => service.lookup(question));
			},
			tally: () => tally,
		});
	} finally {
		await service.stop('detach');
	}
	await printTally(screen, tally, seconds);
	return exitCode.done;
}

/**
 * The lab's gateway connects to a server in the network namespace of this process, over loopback.
 */
async function showBackend(options: DemoOptions, backend: number, stop: Stop): Promise<number> {
	await requireListener(backend);
	await using lab = await Lab.open({
		routes: [{ listenPort: publicPort, backendPort: backend, profile: 'nat64' }],
		backend: { netns: `/proc/${process.pid}/ns/net`, pool: hostPool },
	});
	const truth = new BackendCheck();
	const netns = statSync('/proc/self/ns/net').ino;
	const screen = screenUntil(stop);
	const service = await startService(options, ({ type, connection }) => {
		if (type !== 'closed' || connection.netns !== netns) return;
		truth.found(connection);
		screen.write(eventLine(connection));
	});
	let seconds: number;
	try {
		const text = `GET / HTTP/1.1\r\nHost: 127.0.0.1:${backend}\r\nUser-Agent: toascope-demo\r\nConnection: close\r\n\r\n`;
		seconds = await runOn(options, lab, service, stop, screen, {
			batch: () => ({ to: hostServer, text }),
			check: async (results) => truth.made(results),
			tally: () => truth.tally,
		});
	} finally {
		await service.stop('detach');
	}
	await printTally(screen, truth.tally, seconds);
	return exitCode.done;
}

/** @throws {ToascopeError} LAB_FAILED */
async function requireListener(backend: number): Promise<void> {
	const socket = connect(backend, '127.0.0.1');
	try {
		await once(socket, 'connect');
	} catch (cause) {
		throw new ToascopeError('LAB_FAILED', `cannot connect to 127.0.0.1:${backend}: ${(cause as Error).message}`, {
			hint: 'start your server first; it must listen on 127.0.0.1, 0.0.0.0 or [::]',
			cause,
		});
	} finally {
		socket.destroy();
	}
}

function configuration({ listen, backend }: DemoOptions): Config {
	const settings = {
		listeners: { ports: [backend ?? port] },
		trust: [backend === undefined ? network.pool : hostPool],
		...(backend !== undefined && { transparent: { enabled: 'on', ports: [backend] } }),
		bpf: { pin: 'off' },
		http: { listen, socket: 'off' },
		log: { level: 'warn' },
	};
	const parsed = fileSchema.safeParse(settings);
	if (parsed.success) return toConfig(parsed.data, process.env);
	throw new ToascopeError('USAGE', `--listen ${listen}: ${parsed.error.issues[0]?.message ?? 'not an address'}`);
}

/** Another daemon on this machine can use the default port: the demo then uses any free port. */
async function startService(options: DemoOptions, onEvent: (event: ConnectionEvent) => void): Promise<Service> {
	const start = (listen: string) => {
		const config = configuration({ ...options, listen });
		const service: ServiceOptions = options.once === undefined ? { onEvent } : {};
		return Service.start(config, createLogger(config.log), service);
	};
	try {
		return await start(options.listen);
	} catch (error) {
		if (!(error instanceof ToascopeError) || !/^(ADDRESS_|NO_PRIVILEGE$)/.test(error.code)) throw error;
		if (error.code === 'ADDRESS_IN_USE' && options.listen === defaultListen) return start('127.0.0.1:0');
		// NO_PRIVILEGE concerns the address if it names `listen`, otherwise the capabilities of the
		// process
		if (!/listen/.test(error.message) && error.code === 'NO_PRIVILEGE') throw error;
		throw new ToascopeError(error.code, `--listen ${options.listen}: ${error.message.replace(/^http\.listen: /, '')}`, {
			hint: 'choose another address and port; --listen 127.0.0.1:0 uses a free port',
			cause: error,
		});
	}
}

/** The clients of one batch, and its connections. */
interface Part {
	/** Number of the first client, from 0. */
	readonly first: number;
	readonly clients: number;
	readonly count: number;
}

/**
 * Batches whose connections cycle through all clients. A batch that reaches the last client ends
 * there.
 */
export function batchesOf(clients: number, connections: number): Part[] {
	const parts: Part[] = [];
	for (let made = 0; made < connections; ) {
		const first = clients > batchSize ? made % clients : 0;
		const room = Math.min(batchSize, connections - made);
		const part = Math.min(clients - first, room);
		const count = clients > batchSize ? part : room;
		parts.push({ first, clients: part, count });
		made += count;
	}
	return parts;
}

async function runOnce(options: DemoOptions, lab: Lab, truth: LabCheck, service: Service, stop: Stop): Promise<number> {
	const { connections = defaultConnections } = options;
	const client = await lab.client();
	const begun = performance.now();
	let tally: Tally = emptyTally;
	for (const { first, clients, count } of batchesOf(options.clients, connections)) {
		const run = client.run({
			from: addressAfter(firstClient, first),
			clients,
			count,
			to: nat64Server,
			port: publicPort,
			send: 200,
			receive: 1000,
		});
		const results = await Promise.race([run, stop.promise]);
		if (results === undefined) throw new ToascopeError('LAB_FAILED', 'interrupted before the end');
		tally = await truth.check(results, tally, (question) => service.lookup(question));
	}
	const seconds = (performance.now() - begun) / 1000;
	const report = { provider: 'bpf', accept_program: service.acceptProgram, ...reportOf(tally, seconds) };
	process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : tallyText(report));
	const right = tally.resolved === connections && tally.mismatched === 0 && tally.bytesMismatched === 0;
	return right ? exitCode.done : exitCode.failed;
}

/** What is sent to the server, and how the results are checked. */
interface Traffic {
	readonly batch: () => Pick<Batch, 'to' | 'send' | 'receive' | 'text'>;
	readonly check: (results: readonly ConnectionResult[]) => Promise<void>;
	readonly tally: () => Tally;
}

/** How long a server that does not close its connections can delay the next batch. */
const batchMs = 3000;

async function runOn(
	options: DemoOptions,
	lab: Lab,
	service: Service,
	stop: Stop,
	screen: LogDestination,
	traffic: Traffic,
): Promise<number> {
	const client = await lab.client();
	const begun = performance.now();
	const url = service.listening === undefined ? undefined : `http://${formatEndpoint(service.listening)}`;
	screen.write(demoHeader(url, options.backend));
	while (!stop.stopped) {
		const count = 1 + Math.floor(Math.random() * 4);
		const checked = client
			.run({
				from: addressAfter(firstClient, Math.floor(Math.random() * options.clients)),
				clients: count,
				port: publicPort,
				...traffic.batch(),
			})
			// Ctrl-C ends the processes of the lab as well as this one
			.then(traffic.check, () => {});
		await Promise.race([checked, delay(batchMs), stop.promise]);
		if (stop.stopped) break;
		await Promise.race([delay(400 * Math.random()), stop.promise]);
	}
	return (performance.now() - begun) / 1000;
}

/** Must be called after the service has stopped: until then it prints lines of connections. */
async function printTally(screen: LogDestination, tally: Tally, seconds: number): Promise<void> {
	screen.write(`\n${tallyText(reportOf(tally, Math.round(seconds)))}`);
	await screen.flush(lastLinesMs);
}

const delay = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());

interface Stop {
	readonly promise: Promise<undefined>;
	readonly stopped: boolean;
	/** Stops like a signal. */
	now(): void;
	dispose(): void;
}

function stopSignal(): Stop {
	const { promise, resolve } = Promise.withResolvers<undefined>();
	let stopped = false;
	const now = () => {
		stopped = true;
		resolve(undefined);
	};
	const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
	for (const name of names) process.on(name, now);
	return {
		promise,
		get stopped() {
			return stopped;
		},
		now,
		dispose() {
			for (const name of names) process.off(name, now);
		},
	};
}
