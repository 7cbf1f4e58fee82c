// SPDX-License-Identifier: Apache-2.0
/**
 * Reduces what two daemons report about the same traffic to what must be equal. Removed is what two
 * runs cannot share: times and how often they were sampled, process ids, namespaces, and addresses
 * and ports that were chosen at run time.
 */
import type { ClientJson } from '../../../daemon/api/client.ts';
import type { ConnectionJson } from '../../../daemon/api/connection.ts';
import type { Sample } from './metrics.ts';

const set = 'set';
const known = (value: unknown) => (value === null ? null : set);

/**
 * `port` is the first port of the listeners. `chosen`: the peer and the port of the client were not
 * chosen by the test.
 */
export function comparableConnection(connection: ConnectionJson, port: number, chosen = false): object {
	const { process: owner, peer, client, local } = connection;
	return {
		...connection,
		peer: chosen ? set : peer,
		client: client !== null && chosen ? { ...client, port: set } : client,
		local: { ...local, port: local.port - port },
		netns: set,
		opened_at: set,
		accepted_at: known(connection.accepted_at),
		closed_at: known(connection.closed_at),
		process: owner === null ? null : { ...owner, pid: set },
		rtt_seconds: known(connection.rtt_seconds),
		trace_id: known(connection.trace_id),
		span_id: known(connection.span_id),
		// toa.ko does not report virtual servers
		virtual_server: null,
	};
}

const renumbered = (listener: string, port: number) =>
	listener.replace(/:(\d+)$/, (_, digits: string) => `:+${Number(digits) - port}`);

export function comparableClient(client: ClientJson, port: number): object {
	return {
		...client,
		listener: renumbered(client.listener, port),
		since: set,
		rtt_sum_ns: set,
		rtt_count: set,
		duration_sum_ns: set,
	};
}

/** The samples of each listener. For times, only their number is kept. */
export function comparableSamples(samples: readonly Sample[], port: number): string[] {
	return samples
		.filter(({ name, labels }) => 'listener' in labels && !/_seconds(_sum|_bucket)$|rtt_seconds/.test(name))
		.map(({ name, labels, value }) => {
			const shown = { ...labels, listener: renumbered(labels.listener ?? '', port) };
			return `${name} ${JSON.stringify(Object.entries(shown).toSorted())} ${value}`;
		})
		.toSorted();
}
