// SPDX-License-Identifier: Apache-2.0
/** The configuration as the rest of toascope reads it: frozen, with units in the names. */
import { type OtelSignal, type OtlpProtocol, readOtelEnvironment } from '../otel_environment.ts';
import { withoutSecrets } from '../secrets.ts';
import type { BalancerName } from './balancer_names.ts';
import { profilesOf } from './balancers.ts';
import type { ListenAddress, Network } from './cidr.ts';
import { formatListenAddress } from './cidr.ts';
import { formatDuration } from './duration.ts';
import type { Ports } from './ports.ts';
import { formatPorts } from './ports.ts';
import type { Profile } from './profile.ts';
import { formatProfile, profiles } from './profiles.ts';
import type { Settings } from './schema.ts';
import { keys } from './schema.ts';
import { formatSize } from './size.ts';

/** docs/reference/configuration.md says what each key means. */
export interface Config {
	readonly provider: 'auto' | 'bpf' | 'module';
	/** Undefined: the root of the cgroup v2 mount. */
	readonly cgroup: string | undefined;
	/** Empty: every sender is trusted. */
	readonly trust: readonly Network[];
	/**
	 * The presets that are named; `profiles` has their profiles unless the file sets `profiles`.
	 */
	readonly balancer: readonly BalancerName[];
	readonly profiles: readonly Profile[];
	readonly transparent: { readonly enabled: boolean; readonly ports: Ports };
	readonly sockopt: { readonly enabled: boolean; readonly ipv4: 'mapped' | 'refuse' };
	/** Whether toascope observes which process accepts a connection. */
	readonly accept: boolean;
	readonly listeners: {
		readonly ports: Ports;
		readonly netns: 'all' | 'host';
		readonly label: 'address' | 'port';
		readonly max: number;
	};
	readonly clients: {
		readonly prefix4: number;
		readonly prefix6: number;
		/** Undefined: no network is limited. */
		readonly perPrefix: { readonly prefix4: number; readonly prefix6: number; readonly max: number } | undefined;
		readonly capacity: number;
		readonly maxExported: number;
		readonly idleMs: number;
	};
	readonly connections: { readonly max: number; readonly retainMs: number };
	/** `pin` undefined: nothing is pinned. */
	readonly bpf: { readonly pin: string | undefined; readonly ringBytes: number };
	readonly onExit: 'detach' | 'keep';
	/** Undefined: off. */
	readonly http: { readonly listen: ListenAddress | undefined; readonly socket: string | undefined };
	readonly otel: {
		/** Undefined: OTEL_EXPORTER_OTLP_[SIGNAL_]ENDPOINT applies. */
		readonly endpoint: string | undefined;
		/** Undefined: OTEL_EXPORTER_OTLP_[SIGNAL_]PROTOCOL applies, otherwise http/protobuf. */
		readonly protocol: OtlpProtocol | undefined;
		readonly headersFile: string | undefined;
		readonly metrics: boolean;
		readonly spans: boolean;
		readonly logs: boolean;
		/** The interval between two records of an open connection; undefined: it has none. */
		readonly spanIntervalMs: number | undefined;
		/** Which connections have a span. */
		readonly sampling: {
			/** From 0 to 1. */
			readonly ratio: number;
			readonly listeners: Ports;
			/** Undefined: not a condition. */
			readonly retransmits: number | undefined;
			readonly acceptWaitMs: number | undefined;
		};
	};
	readonly log: {
		readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
		readonly format: 'auto' | 'json' | 'pretty';
	};
}

export type Environment = Readonly<Record<string, string | undefined>>;

const defaultProfiles = ['nat64', 'toa6', 'toa4'];

/** Converts settings to Config. The OTEL_* variables in `env` decide some defaults. */
export function toConfig(settings: Settings, env: Environment): Config {
	const { clients, connections, bpf, otel } = settings;
	const { signals, samplerRatio } = readOtelEnvironment(env);
	const { sampling } = otel;
	const hasEndpoint = (signal: OtelSignal) => (otel.endpoint ?? signals[signal].endpoint) !== undefined;
	return deepFreeze({
		provider: settings.provider,
		cgroup: settings.cgroup,
		trust: settings.trust,
		balancer: settings.balancer ?? [],
		profiles:
			settings.profiles ?? (settings.balancer ? profilesOf(settings.balancer) : profiles.parse(defaultProfiles)),
		transparent: settings.transparent,
		sockopt: settings.sockopt,
		accept: settings.accept,
		listeners: settings.listeners,
		clients: {
			prefix4: clients.prefix4,
			prefix6: clients.prefix6,
			perPrefix: clients.per_prefix.enabled ? perPrefixOf(clients.per_prefix) : undefined,
			capacity: clients.capacity,
			maxExported: clients.max_exported,
			idleMs: clients.idle,
		},
		connections: { max: connections.max, retainMs: connections.retain },
		bpf: { pin: bpf.pin, ringBytes: bpf.ring_bytes },
		onExit: settings.on_exit,
		http: settings.http,
		otel: {
			endpoint: otel.endpoint,
			protocol: otel.protocol,
			headersFile: otel.headers_file,
			metrics: otel.metrics ?? hasEndpoint('metrics'),
			spans: otel.spans ?? hasEndpoint('traces'),
			logs: otel.logs,
			spanIntervalMs: otel.span_interval,
			sampling: {
				ratio: sampling.ratio ?? samplerRatio,
				listeners: sampling.listeners,
				retransmits: sampling.retransmits,
				acceptWaitMs: sampling.accept_wait,
			},
		},
		log: settings.log,
	});
}

const perPrefixOf = ({ prefix4, prefix6, max }: { prefix4: number; prefix6: number; max: number }) => ({
	prefix4,
	prefix6,
	max,
});

const onOff = (value: boolean) => (value ? 'on' : 'off');

/** Every key with its value as it would be in the file; null where nothing is set. */
export function fileValues(config: Config): Readonly<Record<string, unknown>> {
	return {
		provider: config.provider,
		cgroup: config.cgroup ?? null,
		trust: config.trust.map(({ text }) => text),
		balancer: config.balancer.length === 0 ? null : config.balancer,
		profiles: config.profiles.map(formatProfile),
		'transparent.enabled': onOff(config.transparent.enabled),
		'transparent.ports': formatPorts(config.transparent.ports),
		'sockopt.enabled': onOff(config.sockopt.enabled),
		'sockopt.ipv4': config.sockopt.ipv4,
		accept: onOff(config.accept),
		'listeners.ports': formatPorts(config.listeners.ports),
		'listeners.netns': config.listeners.netns,
		'listeners.label': config.listeners.label,
		'listeners.max': config.listeners.max,
		'clients.prefix4': config.clients.prefix4,
		'clients.prefix6': config.clients.prefix6,
		'clients.per_prefix.enabled': onOff(config.clients.perPrefix !== undefined),
		'clients.per_prefix.prefix4': config.clients.perPrefix?.prefix4 ?? null,
		'clients.per_prefix.prefix6': config.clients.perPrefix?.prefix6 ?? null,
		'clients.per_prefix.max': config.clients.perPrefix?.max ?? null,
		'clients.capacity': config.clients.capacity,
		'clients.max_exported': config.clients.maxExported,
		'clients.idle': formatDuration(config.clients.idleMs),
		'connections.max': config.connections.max,
		'connections.retain': formatDuration(config.connections.retainMs),
		'bpf.pin': config.bpf.pin ?? 'off',
		'bpf.ring_bytes': formatSize(config.bpf.ringBytes),
		on_exit: config.onExit,
		'http.listen': formatListenAddress(config.http.listen),
		'http.socket': config.http.socket ?? 'off',
		'otel.endpoint': config.otel.endpoint ?? null,
		'otel.protocol': config.otel.protocol ?? null,
		'otel.headers_file': config.otel.headersFile ?? null,
		'otel.metrics': onOff(config.otel.metrics),
		'otel.spans': onOff(config.otel.spans),
		'otel.logs': onOff(config.otel.logs),
		'otel.span_interval': config.otel.spanIntervalMs === undefined ? 'off' : formatDuration(config.otel.spanIntervalMs),
		'otel.sampling.ratio': config.otel.sampling.ratio,
		'otel.sampling.listeners': formatPorts(config.otel.sampling.listeners),
		'otel.sampling.retransmits': config.otel.sampling.retransmits ?? 'off',
		'otel.sampling.accept_wait':
			config.otel.sampling.acceptWaitMs === undefined ? 'off' : formatDuration(config.otel.sampling.acceptWaitMs),
		'log.level': config.log.level,
		'log.format': config.log.format,
	};
}

/** Like fileValues(), but without the user name and password of a URL. */
export function displayValues(config: Config): Readonly<Record<string, unknown>> {
	const { endpoint } = config.otel;
	return { ...fileValues(config), 'otel.endpoint': endpoint === undefined ? null : withoutSecrets(endpoint) };
}

/** A key whose value differs, with both values as they would be in the file. */
export interface Change {
	readonly key: string;
	readonly from: unknown;
	readonly to: unknown;
}

/** The keys that differ between two configurations, in the order of the file. */
export function changes(from: Config, to: Config): Change[] {
	const before = fileValues(from);
	const after = fileValues(to);
	return keys
		.map(({ path }) => ({ key: path, from: before[path], to: after[path] }))
		.filter((change) => JSON.stringify(change.from) !== JSON.stringify(change.to));
}

/** Keys that differ and that a reload cannot change: they require a restart. */
export function changedRestartKeys(from: Config, to: Config): string[] {
	const fixed = new Set(keys.filter(({ reloadable }) => !reloadable).map(({ path }) => path));
	return changes(from, to)
		.map((change) => change.key)
		.filter((path) => fixed.has(path));
}

function deepFreeze<T>(value: T): T {
	if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
	for (const part of Object.values(value)) deepFreeze(part);
	return Object.freeze(value);
}
