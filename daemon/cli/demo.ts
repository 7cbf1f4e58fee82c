// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope demo`: the whole way at work on this machine. IPv6 clients, a NAT64 gateway and an IPv4
 * server in a lab of network namespaces, the daemon watching the server. Nothing is left behind.
 */
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { requirePrivileges } from '../capture/privileges.ts';
import { type Config, toConfig } from '../config/config.ts';
import { fileSchema } from '../config/schema.ts';
import { exitCode, ToascopeError } from '../errors.ts';
import { Lab, nat64Server, network } from '../lab/lab.ts';
import type { Batch, Result } from '../lab/protocol.ts';
import { addressAfter } from '../lab/sources.ts';
import { formatEndpoint } from '../model/address.ts';
import type { ConnectionEvent } from '../model/connection.ts';
import { createLogger } from '../service/log.ts';
import { LogDestination } from '../service/log_destination.ts';
import { Service, type ServiceOptions } from '../service/service.ts';
import { demoHeader, eventLine, reportOf, tallyText } from './demo_text.ts';
import { ClientJudge, emptyTally, Judge, type Tally } from './demo_truth.ts';

export interface DemoOptions {
	/** Make the connections, check them, end. */
	readonly once?: true;
	readonly clients: number;
	/** With `once`. */
	readonly connections?: number;
	readonly json?: true;
	/** ADDR:PORT of /metrics. */
	readonly listen: string;
	/** Port of a server on this host's 127.0.0.1, in the place of the lab's. */
	readonly backend?: number;
}

/** Where the server listens, and where clients find it behind the gateway. */
const port = 8080;
const publicPort = 80;
/** Addresses of the gateway where the server is this host's: any of 127.0.0.0/8 is local. */
const hostPool = '127.100.0.0/28';
const hostServer = '64:ff9b::127.0.0.1';
const firstClient = '2001:db8:c::1';
/** The last is 2001:db8:c::ffff. */
const clientsMax = 65_535;
const defaultListen = '127.0.0.1:10646';
const defaultConnections = 500;
/** So many at a time: what the table of connections holds is asked before it is full. */
const batchSize = 10_000;

/**
 * Runs the demo. Returns 0 when every connection was resolved to the client that really made it.
 * @throws {ToascopeError} what keeps it from running on this host
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
		throw new ToascopeError('USAGE', `--${name} goes with --once`, { hint: 'add --once' });
	}
	if (isOnce !== undefined && options.backend !== undefined) {
		throw new ToascopeError('USAGE', '--backend goes without --once', {
			hint: "what your server answers is not known, so there is nothing to check: leave --once out, and watch your server's log",
		});
	}
	configuration(options);
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

/** Takes lines, and stops the demo when its reader is gone: it has no end of its own. */
function screenUntil(stop: Stop): LogDestination {
	const screen = new LogDestination({
		fd: 1,
		onReaderBack: (lost) => screen.write(`(${lost} lines left out)\n`),
		onReaderGone: () => stop.now(),
	});
	return screen;
}

/** What the end waits for a terminal that stands still. */
const lastLinesMs = 300;

async function show(options: DemoOptions, stop: Stop): Promise<number> {
	return options.backend === undefined ? showLab(options, stop) : showBackend(options, options.backend, stop);
}

async function showLab(options: DemoOptions, stop: Stop): Promise<number> {
	await using lab = await Lab.open({ routes: [{ listenPort: publicPort, backendPort: port, profile: 'nat64' }] });
	const judge = new Judge(lab.netnsInode('server'));
	// a pager that is paused must not hold up the daemon, which runs here
	const screen = screenUntil(stop);
	await lab.echoServer({ port, onRecords: (records) => judge.served(records) });
	const service = await startService(options, (event) => {
		// another demo on this machine has the same addresses
		const ours = event.connection.netns === lab.netnsInode('server');
		if (ours && event.type === 'closed') screen.write(eventLine(event.connection));
	});
	let tally: Tally = emptyTally;
	let seconds: number;
	try {
		if (options.once) return await runOnce(options, lab, judge, service, stop);
		seconds = await runOn(options, lab, service, stop, screen, {
			batch: () => ({
				to: nat64Server,
				send: 24 + Math.floor(Math.random() * 2000),
				receive: Math.floor(Math.random() * 50_000),
			}),
			async judge(results) {
				tally = await judge.judge(results, tally, (question) => service.lookup(question));
			},
			tally: () => tally,
		});
	} finally {
		await service.stop('detach');
	}
	await tellTally(screen, tally, seconds);
	return exitCode.done;
}

/** The lab's gateway goes on to a server in this process's network namespace, over loopback. */
async function showBackend(options: DemoOptions, backend: number, stop: Stop): Promise<number> {
	await requireListener(backend);
	await using lab = await Lab.open({
		routes: [{ listenPort: publicPort, backendPort: backend, profile: 'nat64' }],
		backend: { netns: `/proc/${process.pid}/ns/net`, pool: hostPool },
	});
	const judge = new ClientJudge();
	const netns = statSync('/proc/self/ns/net').ino;
	const screen = screenUntil(stop);
	const service = await startService(options, ({ type, connection }) => {
		if (type !== 'closed' || connection.netns !== netns) return;
		judge.found(connection);
		screen.write(eventLine(connection));
	});
	let seconds: number;
	try {
		const text = `GET / HTTP/1.1\r\nHost: 127.0.0.1:${backend}\r\nUser-Agent: toascope-demo\r\nConnection: close\r\n\r\n`;
		seconds = await runOn(options, lab, service, stop, screen, {
			batch: () => ({ to: hostServer, text }),
			judge: async (results) => judge.made(results),
			tally: () => judge.tally,
		});
	} finally {
		await service.stop('detach');
	}
	await tellTally(screen, judge.tally, seconds);
	return exitCode.done;
}

/** @throws {ToascopeError} LAB_FAILED */
async function requireListener(backend: number): Promise<void> {
	const socket = connect(backend, '127.0.0.1');
	try {
		await once(socket, 'connect');
	} catch (cause) {
		throw new ToascopeError('LAB_FAILED', `nothing answers on 127.0.0.1:${backend}: ${(cause as Error).message}`, {
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

/** A daemon that runs on this machine may have the usual port: then any free one. */
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
		// it is the address, if it is the capabilities these are of another line
		if (!/listen/.test(error.message) && error.code === 'NO_PRIVILEGE') throw error;
		throw new ToascopeError(error.code, `--listen ${options.listen}: ${error.message.replace(/^http\.listen: /, '')}`, {
			hint: 'give another address and port; --listen 127.0.0.1:0 takes a free port',
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

/** Batches whose connections take all clients in turn. A batch that reaches the last client ends with it. */
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

async function runOnce(options: DemoOptions, lab: Lab, judge: Judge, service: Service, stop: Stop): Promise<number> {
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
		tally = await judge.judge(results, tally, (question) => service.lookup(question));
	}
	const seconds = (performance.now() - begun) / 1000;
	const report = { provider: 'bpf', accept_program: service.acceptProgram, ...reportOf(tally, seconds) };
	process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : tallyText(report));
	const right = tally.resolved === connections && tally.mismatched === 0 && tally.bytesMismatched === 0;
	return right ? exitCode.done : exitCode.failed;
}

/** What goes to the server, and how it went. */
interface Traffic {
	readonly batch: () => Pick<Batch, 'to' | 'send' | 'receive' | 'text'>;
	readonly judge: (results: readonly Result[]) => Promise<void>;
	readonly tally: () => Tally;
}

/** A server that does not close its connections holds up what comes after it for so long. */
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
		const judged = client
			.run({
				from: addressAfter(firstClient, Math.floor(Math.random() * options.clients)),
				clients: count,
				port: publicPort,
				...traffic.batch(),
			})
			// Ctrl-C ends the lab's processes as well as this one
			.then(traffic.judge, () => {});
		await Promise.race([judged, delay(batchMs), stop.promise]);
		if (stop.stopped) break;
		await Promise.race([delay(400 * Math.random()), stop.promise]);
	}
	return (performance.now() - begun) / 1000;
}

/** Called when the service has stopped: until then lines of connections come. */
async function tellTally(screen: LogDestination, tally: Tally, seconds: number): Promise<void> {
	screen.write(`\n${tallyText(reportOf(tally, Math.round(seconds)))}`);
	await screen.flush(lastLinesMs);
}

const delay = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());

interface Stop {
	readonly promise: Promise<undefined>;
	readonly stopped: boolean;
	/** As by a signal. */
	now(): void;
	dispose(): void;
}

function stopSignal(): Stop {
	const { promise, resolve } = Promise.withResolvers<undefined>();
	let stopped = false;
	const take = () => {
		stopped = true;
		resolve(undefined);
	};
	const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
	for (const name of names) process.on(name, take);
	return {
		promise,
		get stopped() {
			return stopped;
		},
		now: take,
		dispose() {
			for (const name of names) process.off(name, take);
		},
	};
}
