// SPDX-License-Identifier: Apache-2.0
/**
 * Every application on every kind of listener, behind the lab's gateway: makes connections, and
 * observes what each party reports about them.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import ipaddr from 'ipaddr.js';
import type { ConnectionJson } from '../../../daemon/api/connection.ts';
import { Lab, nat64Server } from '../../../daemon/lab/lab.ts';
import type { LabClient } from '../../../daemon/lab/lab_client.ts';
import type { Daemon } from '../daemon/daemon.ts';
import { compile } from '../kernel/c_program.ts';
import { type AddressPort, clientAddress, ipv4Of, type Listener, listeners, somePorts } from '../wire/toa_stage.ts';
import { type Application, findProgram } from './application.ts';
import { goMptcp, goTcp, java, nodeHttp, nodeNet, pythonAsyncio, pythonThreads } from './languages.ts';
import { RunningApplication } from './running.ts';
import { apacheEvent, apachePrefork, haproxy, nginx } from './servers.ts';

export const applications: readonly Application[] = [
	nginx,
	haproxy,
	apacheEvent,
	apachePrefork,
	java,
	goTcp,
	goMptcp,
	pythonThreads,
	pythonAsyncio,
	nodeHttp,
	nodeNet,
];

/** The profile of the option that a connection carries, by the kind of its client. */
export const options = { IPv6: 'nat64', IPv4: 'toa4', none: 'none' } as const;
export type Option = keyof typeof options;

/** The end of the connection that an address belongs to, and how it is written. */
export type NamedEnd = 'client' | '::ffff:client' | 'balancer' | '::ffff:balancer' | `someone else: ${string}`;

/** What was observed of one connection. */
export interface Observation {
	/** The address in the access log. */
	readonly logged: NamedEnd;
	/** The result of getpeername() on the accepted socket. */
	readonly getpeername: NamedEnd;
	/** The result of getsockopt(IPPROTO_IP, 4096) on that socket, or the errno. */
	readonly sockopt: NamedEnd | number;
	/** The process that served the connection, according to the access log. */
	readonly servedBy: number;
	/** The name of that process, from /proc. */
	readonly comm: string;
	/**
	 * What the daemon returns for the balancer's address and port, once the connection is closed.
	 */
	readonly daemonView: ConnectionJson;
	readonly client: AddressPort;
}

interface Peeked {
	readonly address: string;
	readonly port: number;
	readonly result: number;
	readonly errno: number;
	readonly bytes: string;
}

const execute = promisify(execFile);
const firstListenPort = 10_000;
/** The maximum number of routes of one gateway (native/lab/gateway.c). */
const routesMax = 64;
const establishedState = '01';
const retryMs = 5;

/**
 * Parses `0202000A:1F90` or `0000000000000000FFFF0000026433C6:1F90` of /proc/PID/net/tcp, which has
 * words in host order.
 */
function parseAddress(text: string): AddressPort {
	const [words = '', port = '0'] = text.split(':');
	const bytes = Buffer.from(words, 'hex').swap32();
	return { address: ipaddr.fromByteArray([...bytes]).toString(), port: Number.parseInt(port, 16) };
}

const written = ({ address, port }: AddressPort) => `${ipaddr.process(address)} ${port}`;

/**
 * The end that `shown` belongs to. `option` says which of the client's addresses the balancer
 * passed on.
 */
function named(shown: AddressPort, client: AddressPort, balancer: AddressPort, option: Option): NamedEnd {
	const passedOn = option === 'IPv4' ? { address: ipv4Of(client.address), port: client.port } : client;
	const prefix = shown.address.startsWith('::ffff:') ? '::ffff:' : '';
	if (written(shown) === written(passedOn)) return `${prefix}client`;
	if (written(shown) === written(balancer)) return `${prefix}balancer`;
	return `someone else: ${shown.address} ${shown.port}`;
}

/** Decodes a struct toa_nat64_peer. */
function decodeAnswer(hex: string): AddressPort {
	const bytes = Buffer.from(hex, 'hex');
	const address = ipaddr.fromByteArray([...bytes.subarray(0, 16)]) as ipaddr.IPv6;
	const text = address.isIPv4MappedAddress() ? `::ffff:${address.toIPv4Address()}` : address.toString();
	return { address: text, port: bytes.readUInt16BE(16) };
}

export class Matrix implements AsyncDisposable {
	readonly lab: Lab;
	readonly #client: LabClient;
	readonly #firstPort: number;
	readonly #running = new Map<string, RunningApplication>();

	private constructor(lab: Lab, client: LabClient, firstPort: number) {
		this.lab = lab;
		this.#client = client;
		this.#firstPort = firstPort;
	}

	/** The configuration of a daemon that watches these servers. */
	config(transparent: 'on' | 'off'): string {
		const lastPort = this.#firstPort + applications.length * listeners.length - 1;
		return `listeners: {ports: ["${this.#firstPort}-${lastPort}"]}\ntransparent: ${transparent}`;
	}

	/** Starts all applications that this machine has. They end with the matrix. */
	static async open(): Promise<Matrix> {
		const firstPort = somePorts(applications.length * listeners.length);
		const lab = await Lab.open();
		try {
			const matrix = new Matrix(lab, await lab.client(), firstPort);
			await Promise.all([matrix.#openGateways(), ...applications.map((application) => matrix.#start(application))]);
			return matrix;
		} catch (error) {
			await lab.close();
			throw error;
		}
	}

	#port(application: Application, listener: Listener): number {
		return this.#firstPort + applications.indexOf(application) * listeners.length + listeners.indexOf(listener);
	}

	#listenPort(application: Application, listener: Listener, option: Option): number {
		const backend = this.#port(application, listener) - this.#firstPort;
		return firstListenPort + backend * Object.keys(options).length + Object.keys(options).indexOf(option);
	}

	async #openGateways(): Promise<void> {
		const routes = applications.flatMap((application) =>
			listeners.flatMap((listener) =>
				(Object.keys(options) as Option[]).map((option) => ({
					listenPort: this.#listenPort(application, listener, option),
					backendPort: this.#port(application, listener),
					profile: options[option],
				})),
			),
		);
		for (let at = 0; at < routes.length; at += routesMax) await this.lab.gateway(routes.slice(at, at + routesMax));
	}

	async #start(application: Application): Promise<void> {
		if (findProgram(application.program) === undefined) return;
		for (const listener of listeners) {
			const port = this.#port(application, listener);
			const running = await RunningApplication.start(this.lab, application, listener, port);
			this.#running.set(`${application.name} ${listener}`, running);
		}
	}

	/**
	 * Holds `count` connections open at the same time, each from a different client. They are
	 * opened one after the other, so that each line of the log and each socket of the kernel can be
	 * assigned to its connection.
	 */
	async observe(
		daemon: Daemon,
		application: Application,
		listener: Listener,
		option: Option,
		count: number,
	): Promise<Observation[]> {
		const running = this.#running.get(`${application.name} ${listener}`);
		if (running === undefined) throw new Error(`${application.name} is not running`);
		const opened: { client: AddressPort; balancer: AddressPort; log: AddressPort & { pid: number } }[] = [];
		for (let i = 0; i < count; i++) {
			const [made] = await this.#client.run({
				from: clientAddress.replace(/:7107$/, `:${(0x7107 + i).toString(16)}`),
				to: nat64Server,
				port: this.#listenPort(application, listener, option),
				text: 'GET /ok HTTP/1.1\r\nHost: lab\r\n\r\n',
				until: 'ok\n',
				hold: true,
			});
			if (made?.reply === undefined || made.error !== undefined) throw new Error(`${application.name}: ${made?.error}`);
			const [log] = await running.logged(1);
			const known = opened.map(({ balancer }) => written(balancer));
			const balancer = established(running).find((peer) => !known.includes(written(peer)));
			if (log === undefined || balancer === undefined) throw new Error(`${application.name}: no log line or socket`);
			opened.push({ client: { address: made.client, port: made.clientPort }, balancer, log });
		}
		const peeked = await peek(running);
		const comms = new Map(opened.map(({ log }) => [log.pid, readFileSync(`/proc/${log.pid}/comm`, 'utf8').trim()]));
		await this.#client.release();
		const result: Observation[] = [];
		for (const { client, balancer, log } of opened) {
			const of = (shown: AddressPort) => named(shown, client, balancer, option);
			const socket = peeked.find((each) => !of(each).startsWith('someone'));
			if (socket === undefined) throw new Error(`no process holds the socket of ${written(client)}`);
			result.push({
				client,
				logged: of(log),
				getpeername: of(socket),
				sockopt: socket.result === 0 ? of(decodeAnswer(socket.bytes)) : socket.errno,
				servedBy: log.pid,
				comm: comms.get(log.pid) ?? '',
				daemonView: await this.#closed(daemon, running, balancer),
			});
		}
		return result;
	}

	/**
	 * What the daemon knows of the connection when it is closed. Only then is it certain that an
	 * accept was unobserved.
	 */
	async #closed(daemon: Daemon, running: RunningApplication, { address, port }: AddressPort): Promise<ConnectionJson> {
		const peer = `${ipaddr.process(address)}:${port}`;
		const path = `/v1/connections?peer=${peer}&netns=${this.lab.netnsInode('server')}`;
		for (;;) {
			const { connections } = await daemon.json<{ connections: ConnectionJson[] }>(path);
			const found = connections.find(({ local, state }) => local.port === running.port && state === 'closed');
			if (found !== undefined) return found;
			await pause(retryMs);
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const running of this.#running.values()) await running[Symbol.asyncDispose]();
		await this.lab.close();
	}
}

/**
 * The peers of the application's connections, as the kernel lists them: no BPF program changes that
 * list.
 */
function established(running: RunningApplication): AddressPort[] {
	return ['tcp', 'tcp6'].flatMap((table) =>
		readFileSync(`/proc/${running.pids()[0]}/net/${table}`, 'latin1')
			.split('\n')
			.map((line) => line.trim().split(/\s+/))
			.filter(([, local = '', , state]) => state === establishedState && parseAddress(local).port === running.port)
			.map(([, , peer = '']) => parseAddress(peer)),
	);
}

/** Queries the application's accepted sockets from another process. */
async function peek(running: RunningApplication): Promise<Peeked[]> {
	const { stdout } = await execute(compiledPeek(), [running.port, ...running.pids()].map(String));
	return stdout
		.trim()
		.split('\n')
		.map((line) => JSON.parse(line) as Peeked);
}

let peekProgram: string | undefined;

function compiledPeek(): string {
	peekProgram ??= compile('peek');
	return peekProgram;
}
