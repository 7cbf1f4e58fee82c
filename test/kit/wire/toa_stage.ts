// SPDX-License-Identifier: Apache-2.0
/**
 * A lab with a probe behind each kind of listener, and a route to each probe for each kind of TOA
 * option.
 */
import { randomInt } from 'node:crypto';
import ipaddr from 'ipaddr.js';
import type { Route } from '../../../daemon/lab/gateway.ts';
import { Lab, nat64Server, network } from '../../../daemon/lab/lab.ts';
import type { LabClient } from '../../../daemon/lab/lab_client.ts';
import type { Batch } from '../../../daemon/lab/protocol.ts';
import { type Peer, Probe } from './probe.ts';

/** The options that reach the server. */
export const variants = {
	nat64: { profile: 'nat64' },
	toa6: { profile: 'toa6' },
	toa4: { profile: 'toa4' },
	none: { profile: 'none' },
	/** kind 253, but with a length that no profile has */
	unknown: { profile: 'hex:fd04abcd' },
	'nat64 only on the ACK': { profile: 'nat64', segments: ['ack'] },
	'nat64 only on data': { profile: 'nat64', segments: ['data'] },
	'toa4 only on the ACK': { profile: 'toa4', segments: ['ack'] },
	'toa4 only on data': { profile: 'toa4', segments: ['data'] },
} as const satisfies Record<string, Pick<Route, 'profile' | 'segments'>>;

export type Variant = keyof typeof variants;

/** The kinds of listeners of the contract: what each call returns on each of them. */
export const listeners = ['AF_INET', 'AF_INET6 dual-stack'] as const;
export type Listener = (typeof listeners)[number];

/** An address, as text, and a port. */
export interface AddressPort {
	readonly address: string;
	readonly port: number;
}

/** The first of the gateway's ports, which do not overlap those that toascope watches. */
const gatewayPorts = 10_000;

/**
 * Returns the first of `count` consecutive local ports. They are chosen at random for each test
 * file, so that no other traffic is counted.
 */
export function somePorts(count: number): number {
	return randomInt(20_000, 60_000 - count);
}

/** An IPv6 client whose last four bytes are an IPv4 address, as `toa4` sends it. */
export const clientAddress = '2001:db8:c::cb00:7107';

/** The IPv4 address in the last four bytes of an IPv6 one. */
export function ipv4Of(address: string): string {
	return ipaddr.fromByteArray(ipaddr.parse(address).toByteArray().slice(-4)).toString();
}

/** Whether this is one of the gateway's own addresses, as an IPv4 or an IPv4-mapped address. */
export function isGateway(address: string): boolean {
	const parsed = ipaddr.process(address);
	return parsed.kind() === 'ipv4' && parsed.match(ipaddr.parseCIDR(network.pool));
}

/** An accepted connection, held open by both ends. */
export interface Accepted extends AsyncDisposable {
	readonly probe: Probe;
	/** What accept() returned; if it got no address buffer, what getpeername() returned. */
	readonly accepted: Peer;
	/** The address and port that the client itself sees. */
	readonly client: AddressPort;
}

export class Stage implements AsyncDisposable {
	readonly lab: Lab;
	readonly client: LabClient;
	readonly #probes: Readonly<Record<Listener, Probe>>;
	readonly #routes: ReadonlyMap<string, number>;
	#busy = false;

	private constructor(
		lab: Lab,
		client: LabClient,
		probes: Record<Listener, Probe>,
		routes: ReadonlyMap<string, number>,
	) {
		this.lab = lab;
		this.client = client;
		this.#probes = probes;
		this.#routes = routes;
	}

	/** The probes listen on `firstPort` (AF_INET) and on the port after it (dual-stack). */
	static async open(firstPort: number): Promise<Stage> {
		const routes: Route[] = [];
		const ports = new Map<string, number>();
		listeners.forEach((listener, index) => {
			for (const [variant, option] of Object.entries(variants)) {
				const listenPort = gatewayPorts + routes.length;
				ports.set(`${listener} ${variant}`, listenPort);
				routes.push({ listenPort, backendPort: firstPort + index, ...option });
			}
		});
		const lab = await Lab.open({ routes });
		try {
			const [client, ipv4, dual] = await Promise.all([
				lab.client(),
				Probe.start(lab, '4', firstPort),
				Probe.start(lab, 'dual', firstPort + 1),
			]);
			return new Stage(lab, client, { AF_INET: ipv4, 'AF_INET6 dual-stack': dual }, ports);
		} catch (error) {
			await lab.close();
			throw error;
		}
	}

	probe(listener: Listener): Probe {
		return this.#probes[listener];
	}

	/**
	 * Connects a client through the gateway and sends data. Resolves when the server has accepted
	 * the connection and read the data. Only one connection can exist at a time: each must be
	 * disposed before the next.
	 */
	async connect(listener: Listener, variant: Variant, how: { readonly silently?: boolean } = {}): Promise<Accepted> {
		const port = this.#routes.get(`${listener} ${variant}`) ?? 0;
		const to = { from: clientAddress, to: nat64Server, port };
		return this.#connect(this.probe(listener), this.client, to, how.silently ?? false);
	}

	/** Connects a client in the gateway's namespace directly to the server. */
	async connectDirectly(listener: Listener, direct: LabClient): Promise<Accepted> {
		const probe = this.probe(listener);
		return this.#connect(probe, direct, { to: network.server, port: probe.port }, false);
	}

	async #connect(probe: Probe, client: LabClient, to: Batch, silently: boolean): Promise<Accepted> {
		if (this.#busy) throw new Error('the previous connection is still open');
		this.#busy = true;
		const [accepted, [made]] = await Promise.all([
			silently ? probe.acceptSilently().then(() => probe.getpeername()) : probe.accept(),
			client.run({ ...to, hold: true }),
		]);
		if (made === undefined || made.error !== undefined) throw new Error(`the client failed: ${made?.error}`);
		await probe.read();
		let closed = false;
		return {
			probe,
			accepted,
			client: { address: made.client, port: made.clientPort },
			[Symbol.asyncDispose]: async () => {
				if (closed) return;
				closed = true;
				await Promise.all([client.release(), probe.closeConnection()]);
				this.#busy = false;
			},
		};
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.lab.close();
	}
}
