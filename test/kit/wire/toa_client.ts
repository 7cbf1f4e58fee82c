// SPDX-License-Identifier: Apache-2.0
/**
 * A balancer for one connection in the server's namespace (apps/toa_client.c), over IPv4 or IPv6.
 * It sends data on command.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Lab } from '../../../daemon/lab/lab.ts';
import { isReadyLine, stop, untilReady } from '../../../daemon/lab/process.ts';
import { compile } from '../kernel/c_program.ts';
import type { AddressPort } from './toa_stage.ts';

export interface Destination {
	/** IPv4 or IPv6. */
	readonly address: string;
	readonly port: number;
	readonly profile: 'nat64' | 'toa6' | 'toa4';
	/** The segments that carry the option. */
	readonly on: 'ack' | 'data';
	/** The client in the option; IPv4 addresses are written as ::ffff:a.b.c.d. */
	readonly client: AddressPort;
}

export class ToaClient implements AsyncDisposable {
	readonly #child: ChildProcess;
	/** Its local port. */
	readonly port: number;

	private constructor(child: ChildProcess, port: number) {
		this.#child = child;
		this.port = port;
	}

	/** Connects, and sends no data yet. */
	static async connect(lab: Lab, { address, port, profile, on, client }: Destination): Promise<ToaClient> {
		const args = [address, String(port), profile, on, client.address, String(client.port)];
		const child = lab.spawn('server', compile('toa_client'), args, { stdio: 'pipe' });
		const ready = await untilReady(child, 'toa_client', isReadyLine);
		return new ToaClient(child, (ready as { port: number }).port);
	}

	/** Sends one byte. */
	send(): void {
		this.#child.stdin?.write('x');
	}

	/** Closes the connection; resolves when the process has ended. */
	async close(): Promise<void> {
		if (this.#child.exitCode !== null) return;
		const ended = once(this.#child, 'exit');
		this.#child.stdin?.end();
		await ended;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await stop(this.#child);
	}
}
