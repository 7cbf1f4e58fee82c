// SPDX-License-Identifier: Apache-2.0
/** The configuration: defaults, file and environment together. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { networksInclude } from '../../../daemon/config/cidr.ts';
import type { Environment } from '../../../daemon/config/config.ts';
import { fileValues } from '../../../daemon/config/config.ts';
import { defaultConfig, loadConfig, loadConfigAndFile } from '../../../daemon/config/load.ts';
import { includesPort } from '../../../daemon/config/ports.ts';
import { keys } from '../../../daemon/config/schema.ts';
import { differences, folder, load, setupPerTest } from '../../kit/daemon/config_file.ts';

setupPerTest();

describe('the usual file', () => {
	it('can be missing at the start; once it has been loaded, it must not be missing later', () => {
		const usual = join(folder, 'usual.yaml');
		expect(loadConfigAndFile({ env: {} }, usual)).toEqual({ config: defaultConfig(), file: undefined });
		writeFileSync(usual, 'trust: [10.0.0.0/8]');
		const { file, config } = loadConfigAndFile({ env: {} }, usual);
		expect({ file, trust: config.trust.map(({ text }) => text) }).toEqual({ file: usual, trust: ['10.0.0.0/8'] });
		rmSync(usual);
		expect(() => loadConfig({ path: file, env: {} })).toThrow(expect.objectContaining({ code: 'CONFIG_UNREADABLE' }));
	});
});

describe('defaults', () => {
	it('apply without any key', () => {
		expect(load('')).toEqual(defaultConfig());
		expect(load('# nothing but a comment\n---\n')).toEqual(defaultConfig());
		expect(defaultConfig()).toMatchObject({
			provider: 'auto',
			cgroup: undefined,
			trust: [],
			transparent: { enabled: false, ports: 'all' },
			sockopt: { enabled: true, ipv4: 'mapped' },
			listeners: { ports: 'all', netns: 'all', max: 256 },
			clients: { prefix4: 32, prefix6: 128, capacity: 65_536, maxExported: 1000, idleMs: 900_000 },
			connections: { max: 65_536, retainMs: 120_000 },
			bpf: { pin: '/sys/fs/bpf/toascope', ringBytes: 4_194_304 },
			onExit: 'detach',
			http: { listen: { family: 4, text: '127.0.0.1', port: 10646 }, socket: '/run/toascope/toascope.sock' },
			otel: { endpoint: undefined, protocol: undefined, headersFile: undefined, metrics: false, spans: false },
			log: { level: 'info', format: 'auto' },
		});
		expect(defaultConfig().profiles.map(({ id, name }) => [id, name])).toEqual([
			[1, 'nat64'],
			[2, 'toa6'],
			[3, 'toa4'],
		]);
	});

	it('are deeply frozen', () => {
		const config = load('trust: [10.0.0.0/8]');
		for (const part of [
			config,
			config.trust,
			config.trust[0],
			config.trust[0]?.address,
			config.clients,
			config.http.listen,
		]) {
			expect(Object.isFrozen(part)).toBe(true);
		}
	});
});

describe('values', () => {
	it.each<[string, Record<string, unknown>]>([
		['transparent: on', { 'transparent.enabled': 'on' }],
		['transparent: true', { 'transparent.enabled': 'on' }],
		[
			'transparent: {enabled: on, ports: [8100-8200, 443, 8000-8150, 444]}',
			{
				'transparent.enabled': 'on',
				'transparent.ports': ['443-444', '8000-8200'],
			},
		],
		['transparent: off', {}],
		['sockopt: false', { 'sockopt.enabled': 'off' }],
		['sockopt: on', {}],
		['sockopt: {ipv4: refuse}', { 'sockopt.ipv4': 'refuse' }],
		['sockopt: {enabled: off, ipv4: mapped}', { 'sockopt.enabled': 'off' }],
		['listeners: {ports: [1, 65535]}', { 'listeners.ports': [1, 65535] }],
		['clients: {idle: 90}', { 'clients.idle': '90 s' }],
		['clients: {idle: 1.1 s}', { 'clients.idle': '1100 ms' }],
		['clients: {idle: 2h}', { 'clients.idle': '2 h' }],
		['connections: {retain: 0}', { 'connections.retain': '0 s' }],
		['bpf: {pin: off, ring_bytes: 65536}', { 'bpf.pin': 'off', 'bpf.ring_bytes': '64 KiB' }],
		['bpf: {pin: /sys/fs/bpf//x/../y/}', { 'bpf.pin': '/sys/fs/bpf/y' }],
		['http: {listen: "[::1]:0", socket: false}', { 'http.listen': '[::1]:0', 'http.socket': 'off' }],
		['http: {listen: off}', { 'http.listen': 'off' }],
		[
			'trust: [10.0.0.0/8, "2001:DB8:0::/32", 0.0.0.0/0, "::/0"]',
			{ trust: ['10.0.0.0/8', '2001:db8::/32', '0.0.0.0/0', '::/0'] },
		],
		['trust: &balancers [192.0.2.1/32]\nprofiles: [cdn6]', { trust: ['192.0.2.1/32'], profiles: ['cdn6'] }],
		[
			'otel: {endpoint: "https://collector:4318"}',
			{ 'otel.endpoint': 'https://collector:4318', 'otel.metrics': 'on', 'otel.spans': 'on' },
		],
		[
			'otel: {endpoint: "http://collector:4318", spans: off}',
			{ 'otel.endpoint': 'http://collector:4318', 'otel.metrics': 'on' },
		],
	])('reads %s', (text, expected) => {
		expect(differences(text)).toEqual(expected);
	});

	it('knows which ports a set contains', () => {
		const { ports } = load('listeners: {ports: [443, 8000-8100]}').listeners;
		expect([442, 443, 444, 7999, 8000, 8100, 8101].filter((port) => includesPort(ports, port))).toEqual([
			443, 8000, 8100,
		]);
		expect(includesPort('all', 1)).toBe(true);
	});

	it('reads networks as bytes', () => {
		expect(load('trust: ["2001:db8::/33"]').trust).toEqual([
			{
				family: 6,
				address: [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
				prefixLength: 33,
				text: '2001:db8::/33',
			},
		]);
	});

	it('knows which addresses a network contains', () => {
		const { trust } = load('trust: [10.0.0.0/8, 192.0.2.128/25, 0.0.0.0/0, "2001:db8::/33", "::1/128"]');
		const holds = (at: number, family: 4 | 6, ...address: number[]) =>
			networksInclude(trust.slice(at, at + 1), family, address);
		expect([holds(0, 4, 10, 255, 0, 1), holds(0, 4, 11, 0, 0, 1)]).toEqual([true, false]);
		expect([holds(1, 4, 192, 0, 2, 128), holds(1, 4, 192, 0, 2, 127)]).toEqual([true, false]);
		const zeros = (count: number) => new Array<number>(count).fill(0);
		expect([holds(2, 4, 1, 2, 3, 4), holds(2, 6, ...zeros(16))]).toEqual([true, false]);
		expect([0x7f, 0x80].map((byte) => holds(3, 6, 0x20, 1, 0xd, 0xb8, byte, ...zeros(11)))).toEqual([true, false]);
		expect([holds(4, 6, ...zeros(15), 1), holds(4, 6, ...zeros(16))]).toEqual([true, false]);
		expect(networksInclude(trust, 6, [...zeros(15), 1])).toBe(true);
		expect(networksInclude([], 4, [10, 0, 0, 1])).toBe(false);
	});

	it.each([
		['balancer: huawei-elb', ['nat64', 'toa6', 'toa4']],
		['balancer: tencent-clb', [{ name: 'nat64', priority: 1 }, 'tencent']],
		['balancer: ucloud-ulb', ['toa4', 'akamai4', 'tencent']],
		[
			'balancer: [dpvs, aliyun-cdn, tencent-clb]',
			[{ name: 'nat64', priority: 1 }, 'toa6', 'toa4', 'tencent', 'cdn4', 'cdn6'],
		],
		['balancer: huawei-elb\nprofiles: [tencent]', ['tencent']],
		['profiles: [{name: toa4, pick: last}]', [{ name: 'toa4', pick: 'last' }]],
		['profiles: [{name: toa4}, cdn4]', ['toa4', 'cdn4']],
		['balancer: aliyun-vtoa', ['nat64', 'toa4', 'vtoa4', 'vtoa6', 'vip4']],
		[
			'profiles: [{name: nat64, priority: 1, uses: [sockopt]}, {name: tencent, uses: [transparent]}]',
			[
				{ name: 'nat64', priority: 1, uses: ['sockopt'] },
				{ name: 'tencent', uses: ['transparent'] },
			],
		],
		['profiles: [{name: toa4, uses: [transparent, sockopt, sockopt]}]', ['toa4']],
	])('%s selects the profiles', (text, expected) => {
		expect(fileValues(load(text))['profiles']).toEqual(expected);
	});

	it('reads balancers from a variable', () => {
		expect(load('', { TOASCOPE_BALANCER: 'dpvs,ip-vs-ca' }).profiles.map(({ name }) => name)).toEqual([
			'toa6',
			'toa4',
			'tencent',
		]);
	});

	it('numbers custom profiles from 8 in the order of the file', () => {
		const own = (name: string, kind: number) =>
			`{name: ${name}, kind: ${kind}, length: 20, family: ipv6, address_at: 4, syn: on}`;
		const { profiles } = load(`profiles: [${own('b', 90)}, tencent, ${own('a', 91)}]`);
		expect(profiles.map(({ id, name }) => [id, name])).toEqual([
			[8, 'b'],
			[5, 'tencent'],
			[9, 'a'],
		]);
		expect(profiles[0]).toEqual({
			id: 8,
			name: 'b',
			kind: 90,
			length: 20,
			portAt: undefined,
			addressAt: 4,
			family: 6,
			onSyn: true,
			version: undefined,
			priority: 0,
			pick: undefined,
			vipAt: undefined,
			vportAt: undefined,
			vniAt: undefined,
			vniForm: 'be24',
			uses: ['sockopt', 'transparent'],
		});
	});

	it('numbers profiles without a client last, since the module numbers only the others', () => {
		const own = (name: string, kind: number, at: string) =>
			`{name: ${name}, kind: ${kind}, length: 8, family: ipv4, ${at}}`;
		const { profiles } = load(
			`profiles: [${own('vip', 100, 'vip_at: 4')}, ${own('first', 101, 'address_at: 4')}, ${own('second', 102, 'address_at: 4')}]`,
		);
		expect(profiles.map(({ name, id }) => [name, id])).toEqual([
			['vip', 10],
			['first', 8],
			['second', 9],
		]);
	});

	it("reads the offsets of a profile's virtual server", () => {
		const own = '{name: own, kind: 90, length: 20, family: ipv4, vip_at: 2, vport_at: 6, vni_at: 8, vni: le32}';
		expect(load(`profiles: [toa4, ${own}]`).profiles[1]).toMatchObject({
			addressAt: undefined,
			portAt: undefined,
			vipAt: 2,
			vportAt: 6,
			vniAt: 8,
			vniForm: 'le32',
		});
		expect(load(`profiles: [toa4, ${own.replace(', vni: le32', '')}]`).profiles[1]?.vniForm).toBe('be24');
	});

	it('has no virtual servers in the default profiles', () => {
		expect(defaultConfig().profiles.every(({ vipAt }) => vipAt === undefined)).toBe(true);
	});
});

describe('environment', () => {
	it.each<[string, Environment, string, Record<string, unknown>]>([
		[
			'overrides the file',
			{ TOASCOPE_CLIENTS_MAX_EXPORTED: '7' },
			'clients: {max_exported: 5, prefix6: 64}',
			{
				'clients.max_exported': 7,
				'clients.prefix6': 64,
			},
		],
		[
			'splits lists at commas',
			{ TOASCOPE_TRUST: '10.0.0.0/8, 2001:db8::/32', TOASCOPE_LISTENERS_PORTS: '443,8000-8001' },
			'',
			{
				trust: ['10.0.0.0/8', '2001:db8::/32'],
				'listeners.ports': [443, '8000-8001'],
			},
		],
		[
			'reads one port as a list of one',
			{ TOASCOPE_TRANSPARENT_PORTS: '443' },
			'transparent: on',
			{
				'transparent.enabled': 'on',
				'transparent.ports': [443],
			},
		],
		['accepts all', { TOASCOPE_TRANSPARENT_PORTS: 'all' }, 'transparent: {ports: [1]}', {}],
		[
			'accepts the short form of transparent',
			{ TOASCOPE_TRANSPARENT: 'on' },
			'transparent: {ports: [443]}',
			{
				'transparent.enabled': 'on',
				'transparent.ports': [443],
			},
		],
		[
			'accepts the short form of sockopt, together with its other key',
			{ TOASCOPE_SOCKOPT: 'off', TOASCOPE_SOCKOPT_IPV4: 'refuse' },
			'sockopt: on',
			{ 'sockopt.enabled': 'off', 'sockopt.ipv4': 'refuse' },
		],
		['replaces a list', { TOASCOPE_TRUST: '[]' }, 'trust: [10.0.0.0/8]', {}],
		[
			'reads custom profiles as YAML',
			{ TOASCOPE_PROFILES: '[toa4, {name: mine, kind: 99, length: 8, family: ipv4, port_at: 2, address_at: 4}]' },
			'',
			{
				profiles: [
					'toa4',
					{ name: 'mine', kind: 99, length: 8, family: 'ipv4', port_at: 2, address_at: 4, syn: 'off' },
				],
			},
		],
		[
			'reads offsets of the virtual server, and uses, as YAML',
			{
				TOASCOPE_PROFILES:
					'[{name: toa4, uses: [sockopt]}, {name: mine, kind: 99, length: 14, family: ipv4, vip_at: 4, vport_at: 2, vni_at: 8}]',
			},
			'',
			{
				profiles: [
					{ name: 'toa4', uses: ['sockopt'] },
					{
						name: 'mine',
						kind: 99,
						length: 14,
						family: 'ipv4',
						vip_at: 4,
						vport_at: 2,
						vni_at: 8,
						vni: 'be24',
						syn: 'off',
					},
				],
			},
		],
		['ignores other variables', { HOME: '/root', XTOASCOPE_A: '1', TOASCOPE_UNSET: undefined }, '', {}],
		[
			'ignores the variables that Kubernetes sets for a Service',
			{
				TOASCOPE_SERVICE_HOST: '10.0.0.1',
				TOASCOPE_SERVICE_PORT_HTTP: '10646',
				TOASCOPE_PORT: 'tcp://10.0.0.1:10646',
				TOASCOPE_METRICS_PORT_10646_TCP_ADDR: '10.0.0.1',
			},
			'',
			{},
		],
		[
			'turns spans on because of OTEL_*',
			{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://x', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
			'',
			{
				'otel.spans': 'on',
			},
		],
		[
			'gives otel.protocol precedence over OTEL_*',
			{ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
			'otel: {protocol: http/protobuf}',
			{ 'otel.protocol': 'http/protobuf' },
		],
		['treats an empty OTEL_* as unset', { OTEL_EXPORTER_OTLP_ENDPOINT: '' }, '', {}],
	])('%s', (_, env, text, expected) => {
		expect(differences(text, env)).toEqual(expected);
	});

	it('has a variable for every key', () => {
		const config = fileValues(
			load('balancer: dpvs\notel: {endpoint: "http://x", protocol: grpc, headers_file: /x}\ncgroup: /x'),
		);
		for (const { path, variable, list } of keys) {
			const value = config[path];
			const text = list === true && Array.isArray(value) ? value.join(',') || '[]' : String(value);
			expect(loadConfig({ path: '/dev/null', env: { [variable]: text } })).toBeDefined();
		}
	});
});
