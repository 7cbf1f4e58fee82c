// SPDX-License-Identifier: Apache-2.0
/** The keys of the configuration file: types, bounds, defaults, meanings. The references are generated from it. */
import { z } from 'zod';
import { balancer } from './balancers.ts';
import { listenAddress, network } from './cidr.ts';
import { duration } from './duration.ts';
import { absolutePath, pathOrOff } from './paths.ts';
import { ports } from './ports.ts';
import { profiles } from './profiles.ts';
import { powerOfTwoBytes } from './size.ts';
import { integer, onOff, word } from './value.ts';

/** What zod does not know of a key. */
export interface KeyInfo {
	/** SIGHUP can change it; else it takes a restart. */
	readonly reloadable: boolean;
	/** In an environment variable it is separated by commas. */
	readonly list?: boolean;
	/** The default in words, where it is no fixed value. */
	readonly otherwise?: string;
}

const keyInfo = z.registry<KeyInfo>();

function key<S extends z.ZodType>(description: string, schema: S, info: KeyInfo): S {
	const described = schema.meta({ description });
	keyInfo.add(described, info);
	return described;
}

function section<S extends z.ZodRawShape>(shape: S) {
	return z.strictObject(shape, { error: `must be a map with keys of ${Object.keys(shape).join(', ')}` });
}

const restart = false;
const reload = true;
const networksMax = 1024;
const networksError = `must be a list of at most ${networksMax} networks`;

/** A network that stands alone is named as the list that it should be. */
function notNetworks({ input }: { readonly input?: unknown }): string {
	return network.safeParse(input).success ? `${networksError}: write [${input}]` : networksError;
}

const transparentKeys = section({
	enabled: key(
		"accept() and getpeername() give the client's address instead of the balancer's. `transparent: on` is short for it.",
		onOff.prefault('off'),
		{ reloadable: reload },
	),
	ports: key('Local ports on which it does so.', ports.prefault('all'), {
		reloadable: reload,
		list: true,
	}),
});

const sockoptKeys = section({
	enabled: key(
		'Answers `getsockopt(IPPROTO_IP, 4096)`. It costs every getsockopt() of the cgroup a fraction of a microsecond. `toa.ko` always answers. `sockopt: off` is short for it.',
		onOff.prefault('on'),
		{ reloadable: reload },
	),
	ipv4: key(
		'What it answers for an IPv4 client: `mapped` gives the address as `::ffff:a.b.c.d`; `refuse` fails as without TOA, for applications that take success for an IPv6 client.',
		word('mapped', 'refuse').prefault('mapped'),
		{ reloadable: reload },
	),
});

const perPrefixKeys = section({
	enabled: key(
		'Limits how many entries the clients of one network have in the table of clients; those beyond the limit are counted together, as one client named after the network. This keeps a subscriber with many addresses from filling the table. `per_prefix: off` is short for `per_prefix: {enabled: off}`.',
		onOff.prefault('on'),
		{ reloadable: reload },
	),
	prefix4: key('Prefix length of such a network, IPv4.', integer(1, 32).prefault(24), {
		reloadable: reload,
	}),
	prefix6: key('Prefix length of such a network, IPv6.', integer(1, 128).prefault(64), {
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

/** What a file may hold. Parsing it gives values in base units: milliseconds, bytes. */
export const fileSchema = section({
	provider: key(
		'What reads the option: BPF programs or the kernel module `toa.ko`. `auto` takes `bpf` where it works, else `module` where one is loaded or ready; also where one is loaded and 32-bit servers listen, which `bpf` cannot answer: on ports that `listeners.ports` names, or as a user below 1000. `module` builds it as well.',
		word('auto', 'bpf', 'module').prefault('auto'),
		{ reloadable: restart },
	),
	cgroup: key('Directory of the cgroup (v2) whose processes are served.', absolutePath.optional(), {
		reloadable: restart,
		otherwise: 'the root of the cgroup v2 mount',
	}),
	trust: key(
		'Networks that may send TOA: those of your balancers. From any other source the option is counted as `untrusted` and ' +
			'never used. An empty list believes every sender.',
		z.array(network, { error: notNetworks }).max(networksMax, { error: networksError }).prefault([]),
		{ reloadable: reload, list: true },
	),
	balancer: key(
		'What stands before this host, one or a list: it chooses `profiles`. With `profiles` set as well, those alone are active.',
		balancer.optional(),
		{ reloadable: reload, list: true, otherwise: 'none' },
	),
	profiles: key(
		'Active option layouts: names of built-in ones, maps of such a name with `priority` or `pick`, or maps that describe own ones. At most 16, each with a kind and length of its own.',
		profiles.optional(),
		{ reloadable: reload, list: true, otherwise: 'those of `balancer`, else `[nat64, toa6, toa4]`' },
	),
	transparent: z
		.union([onOff.transform((enabled) => ({ enabled, ports: 'all' as const })), transparentKeys], {
			error: 'must be on or off, or a map with keys of enabled, ports',
		})
		.prefault({}),
	sockopt: z
		.union([onOff.transform((enabled) => ({ enabled, ipv4: 'mapped' as const })), sockoptKeys], {
			error: 'must be on or off, or a map with keys of enabled, ipv4',
		})
		.prefault({}),
	accept: key(
		'Observes which process accepts a connection, and when. `off` saves part of the cost of each accepted connection; accepts are then not counted, and connections have no owner.',
		onOff.prefault('on'),
		{ reloadable: restart },
	),
	listeners: section({
		ports: key('Local ports that are watched. Connections on others appear nowhere.', ports.prefault('all'), {
			reloadable: reload,
			list: true,
		}),
		netns: key(
			'Network namespaces that are watched: `all`, or `host`, the one that toascope runs in. Connections in others appear ' +
				'nowhere, and nobody can claim an address of `trust` there.',
			word('all', 'host').prefault('all'),
			{ reloadable: reload },
		),
		label: key(
			'What identifies a listener: the local `address` and port that a connection arrived at, or the `port` alone, which is shown as `[::]:PORT`.',
			word('address', 'port').prefault('address'),
			{ reloadable: reload },
		),
		max: key(
			'Listeners with counters of their own; the rest is `other`. 256 take at most 9 MB of kernel memory, 16384 take 65 MB.',
			integer(1, 16_384).prefault(256),
			{
				reloadable: restart,
			},
		),
	}).prefault({}),
	clients: section({
		prefix4: key('Bits of an IPv4 client address that make a client.', integer(1, 32).prefault(32), {
			reloadable: reload,
		}),
		prefix6: key('Bits of an IPv6 client address that make a client.', integer(1, 128).prefault(128), {
			reloadable: reload,
		}),
		per_prefix: z
			.union([onOff.transform((enabled) => ({ enabled, prefix4: 24, prefix6: 64, max: 256 })), perPrefixKeys], {
				error: 'must be on or off, or a map with keys of enabled, prefix4, prefix6, max',
			})
			.prefault({}),
		capacity: key(
			"Pairs of client and listener in the kernel's table. A new client that finds it full counts in `other`.",
			integer(1, 4_194_304).prefault(65_536),
			{ reloadable: restart },
		),
		max_exported: key(
			'Pairs of client and listener with series of their own in the metrics; the rest is `other`.',
			integer(0, 100_000).prefault(1000),
			{ reloadable: reload },
		),
		idle: key(
			'A pair without an open connection and without traffic for this long gives up its series.',
			duration(100, 30 * 24 * 3_600_000).prefault('15 min'),
			{ reloadable: reload },
		),
	}).prefault({}),
	connections: section({
		max: key('Connections that can be looked up, open and closed ones.', integer(1, 4_194_304).prefault(65_536), {
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
			'Size of the ring that carries connections to traces and live views. No counter depends on it.',
			powerOfTwoBytes(65_536, 1024 ** 3).prefault('4 MiB'),
			{ reloadable: restart },
		),
	}).prefault({}),
	on_exit: key(
		'What a daemon that stops does with its programs: detaches them, or leaves them attached and counting.',
		word('detach', 'keep').prefault('detach'),
		{ reloadable: restart },
	),
	http: section({
		listen: key('Address and port of the HTTP server, IPv6 in brackets.', listenAddress.prefault('127.0.0.1:10646'), {
			reloadable: restart,
		}),
		// sun_path has 108 bytes with its final zero
		socket: key('Unix socket of the HTTP server.', pathOrOff(107).prefault('/run/toascope/toascope.sock'), {
			reloadable: restart,
		}),
	}).prefault({}),
	otel: section({
		endpoint: key(
			'Where OTLP goes. Without it the variables `OTEL_EXPORTER_OTLP_*` hold.',
			z.url({ protocol: /^https?$/, error: 'must be a URL such as http://127.0.0.1:4318' }).optional(),
			{ reloadable: restart, otherwise: '`OTEL_EXPORTER_OTLP_ENDPOINT`' },
		),
		protocol: key('Protocol of OTLP.', word('http/protobuf', 'http/json', 'grpc').optional(), {
			reloadable: restart,
			otherwise: '`OTEL_EXPORTER_OTLP_[TRACES_]PROTOCOL`, else `http/protobuf`',
		}),
		spans: key(
			'Sends a span for each connection with TOA, unless `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER` or `OTEL_TRACES_SAMPLER` forbids it.',
			onOff.optional(),
			{
				reloadable: restart,
				otherwise: '`on` when an endpoint is set here or by `OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT`',
			},
		),
	}).prefault({}),
	log: section({
		level: key('Least severe level that is logged.', word('trace', 'debug', 'info', 'warn', 'error').prefault('info'), {
			reloadable: reload,
		}),
		format: key('`auto` is `pretty` on a terminal, else `json`.', word('auto', 'json', 'pretty').prefault('auto'), {
			reloadable: restart,
		}),
	}).prefault({}),
});

/** What parsing gives. */
export type Settings = z.output<typeof fileSchema>;

/** A key as the references and the environment see it. */
export interface Key extends KeyInfo {
	/** `clients.max_exported` */
	readonly path: string;
	/** `TOASCOPE_CLIENTS_MAX_EXPORTED` */
	readonly variable: string;
	readonly description: string;
	/** As it is written in the file; undefined where it is no fixed value. */
	readonly default: unknown;
	/** What may stand there, as whoever writes something else is told. */
	readonly mayBe: string;
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
			mayBe: mayBe(schema as z.ZodType),
		};
	});
}

/** No key takes a symbol: what it says to that. */
function mayBe(schema: z.ZodType): string {
	const [issue] = z.safeParse(schema, Symbol('nothing that a file can hold')).error?.issues ?? [];
	return issue?.message.replace(/^must be /, '') ?? '';
}

/** The map that a key may hold, under its default and beside its short forms; undefined where it holds none. */
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
