// SPDX-License-Identifier: Apache-2.0
/**
 * The keys of the configuration file: types, bounds, defaults, meanings. The reference documents
 * are generated from it.
 */
import { z } from 'zod';
import { balancer } from './balancers.ts';
import { listenAddress, network } from './cidr.ts';
import { duration } from './duration.ts';
import { absolutePath, pathOrOff } from './paths.ts';
import { ports } from './ports.ts';
import { profiles } from './profiles.ts';
import { powerOfTwoBytes } from './size.ts';
import { integer, onOff, orOff, word } from './value.ts';

/** What a key has besides its zod schema. */
interface KeyInfo {
	/** SIGHUP can change it; otherwise a change requires a restart. */
	readonly reloadable: boolean;
	/** Its environment variable has commas between the entries. */
	readonly list?: boolean;
	/** The default in words, where it is not a fixed value. */
	readonly defaultText?: string;
}

const keyInfo = z.registry<KeyInfo>();

function key<S extends z.ZodType>(description: string, schema: S, info: KeyInfo): S {
	const described = schema.meta({ description });
	keyInfo.add(described, info);
	return described;
}

function section<S extends z.ZodRawShape>(shape: S) {
	return z.strictObject(shape, { error: `must be a map with the keys ${Object.keys(shape).join(', ')}` });
}

const restart = false;
const reload = true;
const networksMax = 1024;
const networksError = `must be a list of at most ${networksMax} networks`;

/** For a network that is not in a list, the message shows the list to write. */
function notNetworks({ input }: { readonly input?: unknown }): string {
	return network.safeParse(input).success ? `${networksError}: write [${input}]` : networksError;
}

const transparentKeys = section({
	enabled: key(
		"accept() and getpeername() return the client's address instead of the balancer's. `transparent: on` is short for `transparent: {enabled: on}`.",
		onOff.prefault('off'),
		{ reloadable: reload },
	),
	ports: key('Local ports of the connections that `transparent` applies to.', ports.prefault('all'), {
		reloadable: reload,
		list: true,
	}),
});

const sockoptKeys = section({
	enabled: key(
		'Answers `getsockopt(IPPROTO_IP, 4096)`. It costs every getsockopt() of the cgroup a fraction of a microsecond. `toa.ko` always answers. `sockopt: off` is short for `sockopt: {enabled: off}`.',
		onOff.prefault('on'),
		{ reloadable: reload },
	),
	ipv4: key(
		'What getsockopt() answers for an IPv4 client: `mapped` returns the address as `::ffff:a.b.c.d`; `refuse` fails as without TOA, for applications that assume an IPv6 client on success.',
		word('mapped', 'refuse').prefault('mapped'),
		{ reloadable: reload },
	),
});

const perPrefixKeys = section({
	enabled: key(
		'Limits how many entries the clients of one network have in the client table; those beyond the limit are counted together, as one client named after the network. This keeps a subscriber with many addresses from filling the table. `per_prefix: off` is short for `per_prefix: {enabled: off}`.',
		onOff.prefault('on'),
		{ reloadable: reload },
	),
	prefix4: key('Prefix length of an IPv4 network that `per_prefix` limits.', integer(1, 32).prefault(24), {
		reloadable: reload,
	}),
	prefix6: key('Prefix length of an IPv6 network that `per_prefix` limits.', integer(1, 128).prefault(64), {
		reloadable: reload,
	}),
	max: key(
		'Entries that the clients of one network can have, for each listener.',
		integer(1, 4_194_304).prefault(256),
		{
			reloadable: reload,
		},
	),
});

const ratioError = 'must be a number from 0 to 1';

const samplingKeys = section({
	ratio: key(
		'The part of the connections that have a span, chosen at random. Each span carries the ratio as a threshold (`ot=th` in its tracestate).',
		z.number({ error: ratioError }).min(0, { error: ratioError }).max(1, { error: ratioError }).optional(),
		{ reloadable: reload, defaultText: 'that of `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`, otherwise 1' },
	),
	listeners: key('Local ports whose connections can have spans.', ports.prefault('all'), {
		reloadable: reload,
		list: true,
	}),
	retransmits: key(
		'Whatever the ratio, a connection on the ports of `otel.sampling.listeners` has a span if at least as many segments were retransmitted.',
		orOff(integer(1, 4_294_967_295)).prefault('off'),
		{ reloadable: reload },
	),
	accept_wait: key(
		'Whatever the ratio, a connection on the ports of `otel.sampling.listeners` has a span if it waited at least this long for accept(), or was never accepted and open for this long. With `accept: off` it has no effect.',
		orOff(duration(1, 3_600_000)).prefault('off'),
		{ reloadable: reload },
	),
});

/** What a file can contain. Parsing gives values in base units: milliseconds, bytes. */
export const fileSchema = section({
	provider: key(
		'What reads the option: BPF programs or the kernel module `toa.ko`. `auto` uses `bpf` where it works, otherwise `module` if toa.ko is loaded or built. `auto` also uses `module` if toa.ko is loaded and a 32-bit server is listening: on a port named in `listeners.ports` or, if that is `all`, as a user below 1000. `bpf` cannot answer 32-bit servers. `module` builds toa.ko if necessary.',
		word('auto', 'bpf', 'module').prefault('auto'),
		{ reloadable: restart },
	),
	cgroup: key('Directory of the cgroup (v2) whose processes are served.', absolutePath.optional(), {
		reloadable: restart,
		defaultText: 'the root of the cgroup v2 mount',
	}),
	trust: key(
		'Networks that may send TOA: those of your balancers. From any other peer the option is counted as `untrusted` and ' +
			'never used. With an empty list every sender is trusted.',
		z.array(network, { error: notNetworks }).max(networksMax, { error: networksError }).prefault([]),
		{ reloadable: reload, list: true },
	),
	balancer: key(
		'The balancer in front of this host, or a list of balancers: it selects `profiles`. If `profiles` is set as well, only those are active.',
		balancer.optional(),
		{ reloadable: reload, list: true, defaultText: 'none' },
	),
	profiles: key(
		'Active option layouts: names of built-in ones, maps of such a name with `priority`, `pick` or `uses`, or maps that describe custom ones. At most 16, no two of the same kind and length.',
		profiles.optional(),
		{ reloadable: reload, list: true, defaultText: 'those of `balancer`, otherwise `[nat64, toa6, toa4]`' },
	),
	transparent: z
		.union([onOff.transform((enabled) => ({ enabled, ports: 'all' as const })), transparentKeys], {
			error: 'must be on or off, or a map with the keys enabled, ports',
		})
		.prefault({}),
	sockopt: z
		.union([onOff.transform((enabled) => ({ enabled, ipv4: 'mapped' as const })), sockoptKeys], {
			error: 'must be on or off, or a map with the keys enabled, ipv4',
		})
		.prefault({}),
	accept: key(
		'Observes which process accepts a connection, and when. `off` saves part of the cost of each accepted connection; accepts are then not counted, and connections have no owner.',
		onOff.prefault('on'),
		{ reloadable: restart },
	),
	listeners: section({
		ports: key('Local ports that are observed. Connections on others appear nowhere.', ports.prefault('all'), {
			reloadable: reload,
			list: true,
		}),
		netns: key(
			'Network namespaces that are observed: `all`, or `host`, the one that toascope runs in. Connections in others appear ' +
				'nowhere, and no peer there can pass for an address of `trust`.',
			word('all', 'host').prefault('all'),
			{ reloadable: reload },
		),
		label: key(
			'What identifies a listener: the local `address` and port that a connection arrived at, or only the `port`, which is shown as `[::]:PORT`.',
			word('address', 'port').prefault('address'),
			{ reloadable: reload },
		),
		max: key(
			'Listeners with counters of their own; the others count in `other`. 256 use at most 9 MB of kernel memory, 16384 use 65 MB.',
			integer(1, 16_384).prefault(256),
			{
				reloadable: restart,
			},
		),
	}).prefault({}),
	clients: section({
		prefix4: key('Bits of an IPv4 client address that identify a client.', integer(1, 32).prefault(32), {
			reloadable: reload,
		}),
		prefix6: key('Bits of an IPv6 client address that identify a client.', integer(1, 128).prefault(128), {
			reloadable: reload,
		}),
		per_prefix: z
			.union([onOff.transform((enabled) => ({ enabled, prefix4: 24, prefix6: 64, max: 256 })), perPrefixKeys], {
				error: 'must be on or off, or a map with the keys enabled, prefix4, prefix6, max',
			})
			.prefault({}),
		capacity: key(
			"Pairs of client and listener that the kernel's table can hold. While it is full, new clients count in `other`.",
			integer(1, 4_194_304).prefault(65_536),
			{ reloadable: restart },
		),
		max_exported: key(
			'Pairs of client and listener with series of their own in the metrics; the others count in `other`.',
			integer(0, 100_000).prefault(1000),
			{ reloadable: reload },
		),
		idle: key(
			'The series of a pair ends after this time without an open connection and without traffic.',
			duration(100, 30 * 24 * 3_600_000).prefault('15 min'),
			{ reloadable: reload },
		),
	}).prefault({}),
	connections: section({
		max: key('Open and closed connections that can be looked up.', integer(1, 4_194_304).prefault(65_536), {
			reloadable: restart,
		}),
		retain: key('How long a closed connection can still be looked up.', duration(0, 24 * 3_600_000).prefault('120 s'), {
			reloadable: reload,
		}),
	}).prefault({}),
	bpf: section({
		pin: key(
			'Directory below a mount of bpffs for programs and counters, so that they outlive the daemon; `off` pins nothing.',
			pathOrOff().prefault('/sys/fs/bpf/toascope'),
			{ reloadable: restart },
		),
		ring_bytes: key(
			'Size of the ring that carries events for spans and connection records. No counter depends on it.',
			powerOfTwoBytes(65_536, 1024 ** 3).prefault('4 MiB'),
			{ reloadable: restart },
		),
	}).prefault({}),
	on_exit: key(
		'What the daemon does with its programs when it stops: detaches them, or leaves them attached and counting.',
		word('detach', 'keep').prefault('detach'),
		{ reloadable: restart },
	),
	http: section({
		listen: key('Address and port of the HTTP server, IPv6 in brackets.', listenAddress.prefault('127.0.0.1:10646'), {
			reloadable: restart,
		}),
		// sun_path has 108 bytes, the final zero included
		socket: key('Unix socket of the HTTP server.', pathOrOff(107).prefault('/run/toascope/toascope.sock'), {
			reloadable: restart,
		}),
	}).prefault({}),
	otel: section({
		endpoint: key(
			'OTLP endpoint: a base URL. Without it the variables `OTEL_EXPORTER_OTLP_*` apply.',
			z.url({ protocol: /^https?$/, error: 'must be a URL such as http://127.0.0.1:4318' }).optional(),
			{ reloadable: restart, defaultText: '`OTEL_EXPORTER_OTLP_[SIGNAL_]ENDPOINT`' },
		),
		protocol: key('OTLP protocol.', word('http/protobuf', 'http/json', 'grpc').optional(), {
			reloadable: restart,
			defaultText: '`OTEL_EXPORTER_OTLP_[SIGNAL_]PROTOCOL`, otherwise `http/protobuf`',
		}),
		headers_file: key(
			'File with headers that are sent with each request, one `NAME: VALUE` a line, in addition to `OTEL_EXPORTER_OTLP_HEADERS`: tokens stay out of the environment. The file is read again when it has changed.',
			absolutePath.optional(),
			{ reloadable: restart, defaultText: 'none' },
		),
		metrics: key(
			'Sends all metrics, unless `OTEL_SDK_DISABLED` or `OTEL_METRICS_EXPORTER` disables them.',
			onOff.optional(),
			{
				reloadable: restart,
				defaultText: '`on` when an endpoint is set here or by `OTEL_EXPORTER_OTLP_[METRICS_]ENDPOINT`',
			},
		),
		spans: key(
			'Sends a span for each connection with TOA, unless `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER` or `OTEL_TRACES_SAMPLER` disables it; `otel.sampling` can leave out some.',
			onOff.optional(),
			{
				reloadable: restart,
				defaultText: '`on` when an endpoint is set here or by `OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT`',
			},
		),
		logs: key(
			'Sends a log record of each connection with TOA when it closes, unless `OTEL_SDK_DISABLED` or `OTEL_LOGS_EXPORTER` disables them: [connection records](../telemetry.md#connection-records).',
			onOff.prefault('off'),
			{ reloadable: restart },
		),
		span_interval: key(
			'With `otel.logs`, a connection that is open for longer also has a record after each such time, so that long connections are known before they close. `off`: only when it closes. Without `otel.logs` it has no effect.',
			orOff(duration(10_000, 24 * 3_600_000)).prefault('off'),
			{ reloadable: restart },
		),
		sampling: samplingKeys.prefault({}),
	}).prefault({}),
	log: section({
		level: key('Least severe level that is logged.', word('trace', 'debug', 'info', 'warn', 'error').prefault('info'), {
			reloadable: reload,
		}),
		format: key('`auto`: `pretty` on a terminal, otherwise `json`.', word('auto', 'json', 'pretty').prefault('auto'), {
			reloadable: restart,
		}),
	}).prefault({}),
});

/** The result of parsing. */
export type Settings = z.output<typeof fileSchema>;

/** A key for the reference documents and the environment. */
export interface Key extends KeyInfo {
	/** `clients.max_exported` */
	readonly path: string;
	/** `TOASCOPE_CLIENTS_MAX_EXPORTED` */
	readonly variable: string;
	readonly description: string;
	/** The default as it is written in the file; undefined where it is not a fixed value. */
	readonly default: unknown;
	/** The allowed values, in the words of the message for any other value. */
	readonly allowedValues: string;
}

/** All keys, in the order of the file. */
export const keys: readonly Key[] = keysOf(fileSchema, []);

function keysOf(map: z.ZodObject, above: readonly string[]): Key[] {
	return Object.entries(map.shape).flatMap(([name, schema]) => {
		const at = [...above, name];
		const info = keyInfo.get(schema);
		if (info === undefined) {
			const inner = mapIn(schema as z.ZodType);
			return inner === undefined ? [] : keysOf(inner, at);
		}
		const path = at.join('.');
		return {
			...info,
			path,
			variable: `TOASCOPE_${at.join('_').toUpperCase()}`,
			description: (schema as z.ZodType).description ?? '',
			default: schema instanceof z.ZodPrefault ? schema.def.defaultValue : undefined,
			allowedValues: allowedValuesOf(schema as z.ZodType),
		};
	});
}

/** Obtained from the message for a symbol, which no key accepts. */
function allowedValuesOf(schema: z.ZodType): string {
	const [issue] = z.safeParse(schema, Symbol('nothing that a file can hold')).error?.issues ?? [];
	return issue?.message.replace(/^must be /, '') ?? '';
}

/**
 * The map that a key can contain, found beneath its default and beside its short forms; undefined
 * where it cannot contain one.
 */
export function mapIn(schema: z.ZodType): z.ZodObject | undefined {
	if (schema instanceof z.ZodObject) return schema;
	if (schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional)
		return mapIn(schema.def.innerType as z.ZodType);
	if (schema instanceof z.ZodPipe) return mapIn(schema.def.in as z.ZodType);
	if (!(schema instanceof z.ZodUnion)) return undefined;
	for (const option of schema.def.options as readonly z.ZodType[]) {
		const found = mapIn(option);
		if (found !== undefined) return found;
	}
	return undefined;
}
