// SPDX-License-Identifier: Apache-2.0
/** The load of a few connections that carry as much data as they can, in both directions. */
import { readFileSync } from 'node:fs';
import { ToascopeError } from '../daemon/errors.ts';
import type { Report } from './load.ts';
import { LoadEndpoints } from './load_endpoints.ts';
import type { Sandbox } from './sandbox.ts';

export class Streams implements AsyncDisposable {
	readonly #ends: LoadEndpoints;

	private constructor(ends: LoadEndpoints) {
		this.#ends = ends;
	}

	static async start(sandbox: Sandbox): Promise<Streams> {
		return new Streams(await LoadEndpoints.start(sandbox, 'toascope-streams'));
	}

	/**
	 * Both ends are in one cgroup. With `segmentBytes`, all streams go to the server in segments of
	 * that size; otherwise they go in both directions, and the kernel decides on the segments.
	 * @throws {ToascopeError} LAB_FAILED unless every byte that was sent was received
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
		const failed =
			client.sent_bytes !== server.received_bytes ||
			client.received_bytes !== server.sent_bytes ||
			client.errors + server.errors > 0 ||
			client.connections !== streams;
		if (failed) {
			const reports = `client ${JSON.stringify(client)}, server ${JSON.stringify(server)}`;
			throw new ToascopeError('LAB_FAILED', `the load failed: ${reports}`);
		}
		return { client, server };
	}

	/**
	 * TCP segments that arrived in the network namespace of both ends: InSegs of Tcp in
	 * /proc/net/snmp.
	 */
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
