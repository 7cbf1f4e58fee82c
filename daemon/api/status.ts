// SPDX-License-Identifier: Apache-2.0
/** The answer of `/v1/status` in the JSON of the API (see connection.ts for the conventions). */

/** Connections by verdict. */
export interface TallyJson {
	readonly opened: string;
	readonly toa: string;
	readonly none: string;
	readonly malformed: string;
	readonly untrusted: string;
	readonly conflict: string;
	/** Part of `none`: trusted, without data. */
	readonly health_checks: string;
	/** Part of `none`: trusted, with data. */
	readonly lost_options: string;
	readonly hidden_by_family: string;
	readonly options_syn: string;
	readonly options_ack: string;
	readonly options_data: string;
}

/** A listening TCP socket. */
export interface ListeningJson {
	/** `ADDR:PORT`. */
	readonly local: string;
	readonly pid: number;
	readonly comm: string;
	/** The socket has TCP_DEFER_ACCEPT. */
	readonly defers_accept: boolean;
}

export interface RecentJson {
	readonly seconds: number;
	readonly total: TallyJson;
	readonly listeners: readonly (TallyJson & { readonly listener: string; readonly had_client_before: string })[];
	readonly drops: Readonly<Record<string, string>>;
	readonly unknown_options: readonly {
		readonly kind: number;
		readonly length: number;
		readonly connections: string;
	}[];
}

export interface PeerJson {
	readonly address: string;
	readonly verdict: string;
	readonly listener: string;
	readonly trusted: boolean;
	readonly connections: number;
}

/** The peers of the connections in the kernel's table. */
export interface PeersJson {
	/** Entries that were read. */
	readonly connections: number;
	readonly busiest: readonly PeerJson[];
	/** Listening sockets on the watched ports; empty where the kernel does not show them. */
	readonly listening: readonly ListeningJson[];
}

/** A signal that is sent over OTLP. */
export interface OtlpJson {
	readonly signal: 'metrics' | 'traces' | 'logs';
	/** Where it is sent, without a password. */
	readonly url: string;
	/** Data points, spans or log records that the receiver accepted. */
	readonly exported: string;
	readonly rejected: string;
	readonly failed_requests: string;
	/** When the receiver last accepted a request; null: never. */
	readonly succeeded_at: string | null;
	/** Since when requests fail, and the latest error; null: the latest request was accepted. */
	readonly failing: { readonly at: string; readonly message: string } | null;
	/** The latest partial success. */
	readonly rejection: { readonly at: string; readonly message: string } | null;
}

export interface ReloadJson {
	readonly successful: boolean;
	readonly success_at: string;
	/** Number of reloads since the start. */
	readonly attempts: number;
	/** The error of the last reload; null: it succeeded. */
	readonly error: { readonly code: string; readonly message: string; readonly hint: string | null } | null;
	/** Keys whose value in the file differs, and that only a restart changes. */
	readonly restart_keys: readonly string[];
}

export interface StatusJson {
	readonly version: string;
	/** Version of Node.js. */
	readonly node: string;
	readonly libbpf: string;
	readonly pid: number;
	/** Release of the kernel. */
	readonly kernel: string;
	readonly started_at: string;
	readonly provider: 'bpf' | 'module';
	readonly accept_program: string;
	/** Directory of the cgroup whose sockets are observed; null where the kernel refuses BPF. */
	readonly cgroup: string | null;
	readonly whole_host: boolean;
	/** The pinned state of an earlier daemon was adopted. */
	readonly adopted: boolean;
	/** Trusted networks; empty: every sender. */
	readonly trust: readonly string[];
	/** Names of the active profiles. */
	readonly profiles: readonly string[];
	readonly transparent: boolean;
	readonly sockopt: boolean;
	/** Spans are sent. */
	readonly spans: boolean;
	/**
	 * The part of the connections that have a span, from 0 to 1: as configured, and the one in force,
	 * which is lower while they close faster than spans can be sent; null: spans are not sent.
	 */
	readonly span_sampling: { readonly configured: number; readonly current: number } | null;
	/**
	 * For how long closed connections can be looked up; null: none can. `seconds`: the lowest age at
	 * which one had to leave the table in the last minutes, or `connections.retain`. `slot_seconds`:
	 * the time in which the table is used once; null: none had to leave.
	 */
	readonly connection_retention: { readonly seconds: number; readonly slot_seconds: number | null } | null;
	/** The signals that are sent over OTLP. */
	readonly otlp: readonly OtlpJson[];
	/**
	 * The signals that the configuration enables and an environment variable disables: that
	 * variable, as `VARIABLE=value`.
	 */
	readonly otlp_off: Readonly<Partial<Record<OtlpJson['signal'], string>>>;
	/** Why the daemon is not ready; empty: everything is attached and counted. */
	readonly not_ready: readonly { readonly reason: string; readonly text: string }[];
	readonly attachments: readonly {
		readonly program: string;
		/** The kernel's ID of the program. */
		readonly id: number | null;
		readonly attached: boolean;
	}[];
	/** The name of the refusing errno, by feature. */
	readonly refused_features: Readonly<Record<string, string>>;
	readonly config: {
		readonly file: string | null;
		/** Names of the environment variables that set a key. */
		readonly variables: readonly string[];
		/** Values by key, in the notation of the file. */
		readonly values: Readonly<Record<string, unknown>>;
	};
	readonly config_reload: ReloadJson;
	/** Null before the first collection, as are `total`, `recent` and `own_http`. */
	readonly collected_at: string | null;
	readonly total: TallyJson | null;
	readonly recent: RecentJson | null;
	/** The part of `total` and `recent` that is connections to the daemon's own HTTP. */
	readonly own_http: {
		readonly listeners: readonly string[];
		readonly total: TallyJson;
		readonly recent: TallyJson;
	} | null;
	readonly maps: readonly { readonly map: string; readonly entries: number; readonly capacity: number }[];
	/** Null unless the provider is `module`. */
	readonly module: {
		readonly version: string | null;
		readonly srcversion: string | null;
		readonly events: Readonly<Record<string, string>>;
	} | null;
	/** Only with `?peers=on`; null: could not be read just now, and `not_ready` says why. */
	readonly peers?: PeersJson | null;
}
