// SPDX-License-Identifier: Apache-2.0
/**
 * Hosts made of hand-written segments: a network behind a TUN device in the server's namespace of
 * the lab, where no kernel answers. native/lab/segments.c sends and receives; the test itself
 * implements TCP.
 *
 *   const wire = await Wire.open(lab);
 *   const connection = wire.connection({ to: port });
 *   await connection.open('fd14...');   // SYN, SYN-ACK, ACK with the option
 *   connection.data('x');
 *   connection.reset();
 */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { type Lab, network } from '../../../daemon/lab/lab.ts';
import { isReadyLine, runToExit, untilReady } from '../../../daemon/lab/process.ts';
import { findTools } from '../../../daemon/lab/tools.ts';
import { type Content, type Endpoints, formatSegment, type Segment } from './segment.ts';
import { WireConnection } from './wire_connection.ts';

const tool = join(import.meta.dirname, '../../../build/lab/toascope-segments');
const device = 'wire';

/** The networks of the hosts, and the addresses of the server. */
export const wireNetwork = {
	hosts4: '198.18.0.0/15',
	hosts6: '2001:db8:f::/64',
	server4: network.server,
	server6: '2001:db8:5::2',
} as const;

const setUp = `
address add ${wireNetwork.server6}/128 dev ${device} nodad
route add ${wireNetwork.hosts4} dev ${device}
route add ${wireNetwork.hosts6} dev ${device}`;

/** A port without a listener. */
const closedPort = 1;

/** The number of ports that one host uses, from 1024 on. */
const portsOfHost = 60_000;

export interface ConnectionOptions {
	/** Port of the server. */
	readonly to: number;
	/** Default: 4. */
	readonly family?: 4 | 6;
	/** Address and port of the host. Default: a pair that no earlier connection had. */
	readonly from?: { readonly address: string; readonly port: number };
	/** Sequence number of its SYN. */
	readonly initial?: number;
}

const key = ({ from, fromPort, to, toPort }: Endpoints) => `${from} ${fromPort} ${to} ${toPort}`;

export class Wire {
	readonly #child: ChildProcess;
	readonly #connections = new Map<string, WireConnection>();
	#made = 0;

	private constructor(child: ChildProcess) {
		this.#child = child;
	}

	/** Starts toascope-segments and sets up the network. It ends with the lab. */
	static async open(lab: Lab): Promise<Wire> {
		const wire = new Wire(lab.spawn('server', tool, [device], { stdio: 'pipe' }));
		await untilReady(wire.#child, 'toascope-segments', isReadyLine, (value) => wire.#receive(value as Segment));
		const ip = lab.spawn('server', findTools().ip, ['-batch', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
		await runToExit(ip, 'ip on the wire', `${setUp.trim()}\n`);
		return wire;
	}

	#receive(segment: Segment): void {
		const { from, fromPort, to, toPort } = segment;
		this.#connections.get(key({ from: to, fromPort: toPort, to: from, toPort: fromPort }))?.receive(segment);
	}

	/**
	 * Prepares a connection; nothing is sent yet. It replaces an earlier connection with the same
	 * addresses.
	 */
	connection({ to, family = 4, from, initial }: ConnectionOptions): WireConnection {
		const made = this.#made++;
		const host = 1 + Math.floor(made / portsOfHost);
		const endpoints = {
			from: from?.address ?? (family === 4 ? `198.18.0.${host}` : `2001:db8:f::${host.toString(16)}`),
			fromPort: from?.port ?? 1024 + (made % portsOfHost),
			to: family === 4 ? wireNetwork.server4 : wireNetwork.server6,
			toPort: to,
		};
		const send = (content: Content) => this.#child.stdin?.write(formatSegment(endpoints, content));
		const connection = new WireConnection(endpoints, send, initial);
		this.#connections.set(key(endpoints), connection);
		return connection;
	}

	/**
	 * Resolves when the kernel has handled all that was sent: it answers in order, and it answers
	 * the probe, a SYN to a closed port, with a RST.
	 */
	async handled(): Promise<void> {
		const probe = this.connection({ to: closedPort });
		probe.syn();
		await probe.next(({ flags }) => flags.includes('R'));
		this.forget(probe);
	}

	/** Discards all segments that arrive for this connection from now on. */
	forget({ endpoints }: WireConnection): void {
		this.#connections.delete(key(endpoints));
	}
}
