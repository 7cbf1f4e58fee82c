// SPDX-License-Identifier: Apache-2.0
/** Leaves out connections to the daemon's own HTTP, which are not traffic of a balancer. */
import type { TallyJson } from '../api/status.ts';
import type { Status } from '../client/status.ts';

/** The status without those connections. An older daemon does not report them: unchanged then. */
export function withoutOwnHttp(status: Status): Status {
	const { own_http: own, total, recent, peers } = status;
	if (own === undefined || own === null || total === null || recent === null) return status;
	const names = new Set(own.listeners);
	return {
		...status,
		total: subtract(total, own.total),
		recent: {
			...recent,
			total: subtract(recent.total, own.recent),
			listeners: recent.listeners.filter(({ listener }) => !names.has(listener)),
		},
		peers: { ...peers, busiest: peers.busiest.filter(({ listener }) => !names.has(listener)) },
	};
}

function subtract(all: TallyJson, part: TallyJson): TallyJson {
	const counts = Object.entries(all).map(([field, count]) => [
		field,
		String(BigInt(count) - BigInt(part[field as keyof TallyJson] ?? 0)),
	]);
	return Object.fromEntries(counts) as TallyJson;
}
