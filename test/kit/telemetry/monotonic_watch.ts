// SPDX-License-Identifier: Apache-2.0
/**
 * Watches all counters of a daemon and of its successor: no counter decreases while its series
 * exists.
 */
import { metricTable } from '../../../daemon/export/metric_table.ts';
import type { Daemon } from '../daemon/daemon.ts';

type Series = ReadonlyMap<string, bigint | number>;

/**
 * The counters of the snapshot outlive a daemon; only the kernel's statistics of programs start again
 * with each.
 */
const lasting = metricTable.filter(
	({ source, name }) => (source === 'snapshot' || source === 'client') && !name.startsWith('toascope_bpf_program_'),
);
const startsAgain = (reason: string | undefined) => /^(span|log)_/.test(reason ?? '');
const suffixes = { counter: [''], histogram: ['_bucket', '_sum', '_count'], summary: ['_sum', '_count'], gauge: [] };
const counters = new Set<string>(lasting.flatMap(({ name, type }) => suffixes[type].map((suffix) => name + suffix)));

/** Counters of /v1/clients, which are decimal strings. */
const perClient = ['opened', 'closed'].map((which) => `connections_${which}`);
perClient.push('received_bytes', 'sent_bytes', 'retransmitted_segments', 'rtt_sum_ns', 'rtt_count', 'duration_sum_ns');

/** The maximum number of clients in one response. */
const clientsMax = 10_000;

const isSum = (client: string | undefined) => client === 'direct' || client === 'other';

export class MonotonicWatch {
	#before: Series = new Map();
	/** Number of series that were compared, over all calls of check(). */
	compared = 0;
	/** The number of series of clients among them. */
	comparedClients = 0;

	/**
	 * Reads all counters and returns them.
	 * @throws {Error} naming the counters that have decreased
	 */
	async check(daemon: Daemon): Promise<Series> {
		const now = new Map([...(await readMetrics(daemon)), ...(await readClients(daemon))]);
		const decreased: string[] = [];
		for (const [series, was] of this.#before) {
			const is = now.get(series);
			if (is === undefined) continue;
			this.compared++;
			if (series.startsWith('{')) this.comparedClients++;
			if (is < was) decreased.push(`${series} decreased from ${was} to ${is}`);
		}
		this.#before = now;
		if (decreased.length > 0) throw new Error(decreased.join('\n'));
		return now;
	}
}

/**
 * All counters except the series of single clients: the metrics do not show that one of these has
 * ended and started again.
 */
async function readMetrics(daemon: Daemon): Promise<[string, bigint | number][]> {
	return (await daemon.metrics())
		.filter(
			({ name, labels: { client, reason } }) =>
				counters.has(name) && !startsAgain(reason) && (client === undefined || isSum(client)),
		)
		.map(({ name, labels, value }) => [
			`${name}${JSON.stringify(labels)}`,
			/^\d+$/.test(value) ? BigInt(value) : Number(value),
		]);
}

async function readClients(daemon: Daemon): Promise<[string, bigint][]> {
	const { clients } = await daemon.json<{ clients: Record<string, string>[] }>(`/v1/clients?limit=${clientsMax}`);
	return clients
		.filter(({ client }) => !isSum(client))
		.flatMap((one) =>
			perClient.map((counter): [string, bigint] => [
				JSON.stringify({ client: one['client'], listener: one['listener'], since: one['since'], counter }),
				BigInt(one[counter] ?? ''),
			]),
		);
}
