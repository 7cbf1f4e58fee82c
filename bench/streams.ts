// SPDX-License-Identifier: Apache-2.0
/** The load of a few connections that carry as much as they can, both ways. */
import { readFileSync } from 'node:fs';
import { ToascopeError } from '../daemon/errors.ts';
import { Ends } from './ends.ts';
import type { Ground } from './ground.ts';
import type { Report } from './load.ts';

export class Streams implements AsyncDisposable {
	readonly #ends: Ends;

	private constructor(ends: Ends) {
		this.#ends = ends;
	}

	static async start(ground: Ground): Promise<Streams> {
		return new Streams(await Ends.start(ground, 'toascope-streams'));
	}

	/**
	 * Both ends in one cgroup. `segmentBytes`: all streams go to the server, in segments of so many bytes; else both ways, in
	 * segments as the kernel makes them.
	 * @throws {ToascopeError} LAB_FAILED unless each byte that was sent was received
	 */
	async run(
		cgroup: string,
		seconds: number,
		streams: number,
		segmentBytes = 0,
	): Promise<{ client: Report; server: Report }> {
		this.#ends.move({ server: cgroup, client: cgroup });
		await this.#ends.server.ask('open');
		const client = await this.#ends.client.ask<Report>(`run ${seconds} ${streams} ${segmentBytes}`, seconds * 1000);
		const server = await this.#ends.server.ask<Report>('close');
		const lost =
			client.sent_bytes !== server.received_bytes ||
			client.received_bytes !== server.sent_bytes ||
			client.errors + server.errors > 0 ||
			client.connections !== streams;
		if (lost) {
			const said = `client ${JSON.stringify(client)}, server ${JSON.stringify(server)}`;
			throw new ToascopeError('LAB_FAILED', `the load failed: ${said}`);
		}
		return { client, server };
	}

	/** TCP segments that arrived in the network namespace of both, as its counters have them: InSegs of Tcp in snmp. */
	arrived(): number {
		const [names = '', values = ''] = readFileSync(`/proc/${this.#ends.server.child.pid}/net/snmp`, 'utf8')
			.split('\n')
			.filter((line) => line.startsWith('Tcp:'));
		return Number(values.split(' ')[names.split(' ').indexOf('InSegs')]);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#ends[Symbol.asyncDispose]();
	}
}
