// SPDX-License-Identifier: Apache-2.0
/** Responses of `/v1/status?peers=on`, made by hand. */

import type { ListeningJson, PeerJson, RecentJson, StatusJson, TallyJson } from '../../../daemon/api/status.ts';
import type { Status } from '../../../daemon/client/status.ts';
import { fileValues } from '../../../daemon/config/config.ts';
import { defaultConfig } from '../../../daemon/config/load.ts';

export type Counts = Partial<Record<keyof TallyJson, number>>;

/**
 * `opened` defaults to the sum of the verdicts. By default, all connections without an option that
 * are not health checks came from trusted peers and sent data, so they count in `lost_options`.
 */
export function tally(counts: Counts): TallyJson {
	const { toa = 0, none = 0, malformed = 0, untrusted = 0, conflict = 0, health_checks = 0 } = counts;
	const { opened = toa + none + malformed + untrusted + conflict, lost_options = none - health_checks } = counts;
	const { hidden_by_family = 0, options_syn = 0, options_ack = 0, options_data = 0 } = counts;
	const all = {
		opened,
		toa,
		none,
		malformed,
		untrusted,
		conflict,
		health_checks,
		lost_options,
		hidden_by_family,
		options_syn,
		options_ack,
		options_data,
	};
	return Object.fromEntries(Object.entries(all).map(([name, count]) => [name, String(count)])) as unknown as TallyJson;
}

export interface StatusParts {
	/** Counts of the last minutes. */
	readonly now?: Counts;
	/** Counts since the counters began; default: those of the last minutes. */
	readonly total?: Counts;
	readonly recent?: Partial<RecentJson>;
	readonly values?: Readonly<Record<string, unknown>>;
	readonly peers?: readonly PeerJson[];
	readonly listening?: readonly ListeningJson[];
	readonly maps?: Status['maps'];
	readonly wholeHost?: boolean;
}

export function statusOf(parts: StatusParts): Status {
	const {
		now = {},
		total = now,
		recent = {},
		values = {},
		peers = [],
		listening = [],
		maps = [],
		wholeHost = true,
	} = parts;
	return {
		version: '0.1.0',
		node: '24.0.0',
		libbpf: '1.1.2',
		kernel: '6.1.0',
		trust: [],
		profiles: ['toa4', 'toa6', 'nat64'],
		transparent: false,
		sockopt: true,
		spans: false,
		span_sampling: null,
		connection_retention: null,
		collected_at: '2026-01-01T00:05:00.000Z',
		module: null,
		pid: 812,
		started_at: '2026-01-01T00:00:00.000Z',
		provider: 'bpf',
		adopted: false,
		accept_program: 'fexit',
		cgroup: '/sys/fs/cgroup',
		whole_host: wholeHost,
		refused_features: {},
		config: { file: null, variables: [], values: { ...fileValues(defaultConfig()), ...values } },
		config_reload: {
			successful: true,
			success_at: '2026-01-01T00:00:00.000Z',
			attempts: 0,
			error: null,
			restart_keys: [],
		},
		total: tally(total),
		recent: { seconds: 300, total: tally(now), listeners: [], drops: {}, unknown_options: [], ...recent },
		maps,
		peers: { connections: peers.reduce((sum, { connections }) => sum + connections, 0), busiest: peers, listening },
	};
}

/** What a daemon of an earlier version can leave out. */
const newer = {
	attachments: [],
	not_ready: [],
	otlp: [],
	otlp_off: {},
	own_http: null,
	connection_retention: null,
	span_sampling: null,
};

/** The complete response of a daemon of this version, without `peers`. */
export function statusJson(parts: StatusParts = {}): StatusJson {
	const { peers: _peers, ...status } = statusOf(parts);
	return { ...newer, ...status };
}
