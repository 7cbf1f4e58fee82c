// SPDX-License-Identifier: Apache-2.0
/** Connections to the daemon's own HTTP are no traffic of a balancer: whether TOA arrives is judged without them. */
import type { Status, TallyJson } from './status.ts';

/** The same without them. A daemon of an earlier version does not say which they are. */
export function withoutOwnHttp(status: Status): Status {
	const { own_http: own, total, recent, peers } = status;
	if (own === undefined || own === null || total === null || recent === null) return status;
	const names = new Set(own.listeners);
	return {
		...status,
		total: less(total, own.total),
		recent: {
			...recent,
			total: less(recent.total, own.recent),
			listeners: recent.listeners.filter(({ listener }) => !names.has(listener)),
		},
		peers: { ...peers, busiest: peers.busiest.filter(({ listener }) => !names.has(listener)) },
	};
}

function less(all: TallyJson, part: TallyJson): TallyJson {
	const counts = Object.entries(all).map(([field, count]) => [
		field,
		String(BigInt(count) - BigInt(part[field as keyof TallyJson] ?? 0)),
	]);
	return Object.fromEntries(counts) as TallyJson;
}
