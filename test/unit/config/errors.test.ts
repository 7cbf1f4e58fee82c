// SPDX-License-Identifier: Apache-2.0
/** Errors about a wrong configuration name the position, the key, its value and what is allowed. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Environment } from '../../../daemon/config/config.ts';
import { loadConfig } from '../../../daemon/config/load.ts';
import { ConfigError } from '../../../daemon/config/problem.ts';
import { ToascopeError } from '../../../daemon/errors.ts';

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'toascope-config-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function failure(content: string | Uint8Array, env: Environment = {}): ToascopeError {
	const path = join(folder, 'c.yaml');
	writeFileSync(path, content);
	try {
		loadConfig({ path, env });
	} catch (error) {
		if (error instanceof ToascopeError) return error;
		throw error;
	}
	throw new Error('the configuration was accepted');
}

/** The problems of a file, without the folder in its path. */
function problems(content: string | Uint8Array, env: Environment = {}): string[] {
	const error = failure(content, env);
	expect(error).toBeInstanceOf(ConfigError);
	expect(error.code).toBe('CONFIG_INVALID');
	expect(error.exitCode).toBe(2);
	return error.message.replaceAll(`${folder}/`, '').split('\n');
}

const range = 'must be a port from 1 to 65535 or a range such as 8000-8100';
const list = 'must be all, or a list of ports and ranges such as [443, 8000-8100]';
const idle = 'must be from 100 ms to 720 h, written as 500 ms, 15 s, 15 min or 2 h, or as a number of seconds';
const ring = 'must be a power of two from 64 KiB to 1 GiB, written as 4 MiB or as a number of bytes';
const network = 'must be a network such as 10.0.0.0/8 or 2001:db8::/32';
const listen = 'must be ADDR:PORT such as 127.0.0.1:10646 or [::1]:10646, or off';

describe('a key', () => {
	it.each([
		['clinets: {}', 'c.yaml:1:1: unknown key "clinets"; did you mean "clients"?'],
		[
			'clients:\n  maxExported: 5',
			'c.yaml:2:3: unknown key "clients.maxExported"; did you mean "clients.max_exported"?',
		],
		['trsut: []', 'c.yaml:1:1: unknown key "trsut"; did you mean "trust"?'],
		['listeners.ports: [80]', 'c.yaml:1:1: unknown key "listeners.ports"; write it as listeners: {ports: …}'],
		['max_exported: 5', 'c.yaml:1:1: unknown key "max_exported"; did you mean "clients.max_exported"?'],
		['bpf: {colour: 5}', 'c.yaml:1:7: unknown key "bpf.colour"; known keys: pin, ring_bytes'],
		['transparent: {port: [1]}', 'c.yaml:1:15: unknown key "transparent.port"; did you mean "transparent.ports"?'],
		[
			'__proto__: {sockopt: off}',
			expect.stringMatching(/^c.yaml:1:1: unknown key "__proto__"; known keys: provider, /),
		],
	])('%s', (text, message) => {
		expect(problems(text)).toEqual([message]);
	});
});

describe('a value', () => {
	it.each([
		['provider: bfp', 'c.yaml:1:11: provider must be auto, bpf or module (found: "bfp")'],
		['cgroup: unified', 'c.yaml:1:9: cgroup must be an absolute path (found: "unified")'],
		['sockopt: 1', 'c.yaml:1:10: sockopt must be on or off, or a map with the keys enabled, ipv4 (found: 1)'],
		[
			'transparent: maybe',
			'c.yaml:1:14: transparent must be on or off, or a map with the keys enabled, ports (found: "maybe")',
		],
		['transparent: {enabled: 1}', 'c.yaml:1:24: transparent.enabled must be on or off (found: 1)'],
		[
			'clients: {max_exported: "5"}',
			'c.yaml:1:25: clients.max_exported must be a whole number from 0 to 100000 (found: "5")',
		],
		[
			'clients: {max_exported: -1}',
			'c.yaml:1:25: clients.max_exported must be a whole number from 0 to 100000 (found: -1)',
		],
		['clients: {prefix6: 129}', 'c.yaml:1:20: clients.prefix6 must be a whole number from 1 to 128 (found: 129)'],
		['clients: {prefix4: 24.5}', 'c.yaml:1:20: clients.prefix4 must be a whole number from 1 to 32 (found: 24.5)'],
		['clients: {idle: soon}', `c.yaml:1:17: clients.idle ${idle} (found: "soon")`],
		['clients: {idle: 50 ms}', `c.yaml:1:17: clients.idle ${idle} (found: "50 ms")`],
		['clients: {idle: 0.1005}', `c.yaml:1:17: clients.idle ${idle} (found: 0.1005)`],
		['clients: {idle: .inf}', `c.yaml:1:17: clients.idle ${idle} (found: Infinity)`],
		['bpf: {ring_bytes: 3 MiB}', `c.yaml:1:19: bpf.ring_bytes ${ring} (found: "3 MiB")`],
		['bpf: {ring_bytes: 4 MB}', `c.yaml:1:19: bpf.ring_bytes ${ring} (found: "4 MB")`],
		['bpf: {pin: /}', 'c.yaml:1:12: bpf.pin must be an absolute path of at most 4095 bytes, or off (found: "/")'],
		[
			`http: {socket: /${'s'.repeat(107)}}`,
			expect.stringContaining('must be an absolute path of at most 107 bytes, or off'),
		],
		['http: {listen: localhost:80}', `c.yaml:1:16: http.listen ${listen} (found: "localhost:80")`],
		['http: {listen: "::1:80"}', `c.yaml:1:16: http.listen ${listen} (found: "::1:80")`],
		['http: {listen: "127.0.0.1:65536"}', `c.yaml:1:16: http.listen ${listen} (found: "127.0.0.1:65536")`],
		['http: {listen: "[127.0.0.1]:80"}', `c.yaml:1:16: http.listen ${listen} (found: "[127.0.0.1]:80")`],
		[
			'http: {listen: ":80"}',
			'c.yaml:1:16: http.listen must name an address: 0.0.0.0:80 is every IPv4 address, [::]:80 every address (found: ":80")',
		],
		['listeners: {ports: 443}', `c.yaml:1:20: listeners.ports ${list} (found: 443)`],
		['listeners: {ports: []}', `c.yaml:1:20: listeners.ports ${list} (found: an empty list)`],
		['listeners: {ports: [443, 0]}', `c.yaml:1:26: listeners.ports[1] ${range} (found: 0)`],
		['listeners: {ports: [443, http]}', `c.yaml:1:26: listeners.ports[1] ${range} (found: "http")`],
		['listeners: {ports: [1-65536]}', `c.yaml:1:21: listeners.ports[0] ${range} (found: "1-65536")`],
		[
			'listeners: {ports: [90-80]}',
			'c.yaml:1:21: listeners.ports[0] must start with the lower port: 80-90 (found: "90-80")',
		],
		[
			'otel: {endpoint: collector:4317}',
			'c.yaml:1:18: otel.endpoint must be a URL such as http://127.0.0.1:4318 (found: "collector:4317")',
		],
		['log:', 'c.yaml:1:5: log must be a map with the keys level, format (found: an empty value)'],
		['trust:', 'c.yaml:1:7: trust must be a list of at most 1024 networks (found: an empty value)'],
		[
			'trust: 10.0.0.0/8',
			'c.yaml:1:8: trust must be a list of at most 1024 networks: write [10.0.0.0/8] (found: "10.0.0.0/8")',
		],
		['trust: balancers', 'c.yaml:1:8: trust must be a list of at most 1024 networks (found: "balancers")'],
		[
			'just a text',
			expect.stringMatching(/^c.yaml:1:1: the file must be a map with the keys provider, .* \(found: "just a text"\)$/),
		],
	])('%s', (text, message) => {
		expect(problems(text)).toEqual([message]);
	});
});

describe('a network', () => {
	it.each([
		['10.0.0.1/8', 'must have no bits set beyond its prefix: the network is 10.0.0.0/8'],
		['2001:db8::1/32', 'must have no bits set beyond its prefix: the network is 2001:db8::/32'],
		['10.0.0.1', 'must have a prefix length: for this address only, write 10.0.0.1/32'],
		['2001:db8::1', 'must have a prefix length: for this address only, write 2001:db8::1/128'],
		['10.0.0.0/33', 'must have a prefix length from 0 to 32'],
		['::ffff:10.1.0.0/104', 'must be written as IPv4: 10.0.0.0/8'],
		['10.0/16', network],
		['010.0.0.0/8', network],
		['256.0.0.0/8', network],
		['fe80::%eth0/64', network],
		['10.0.0.0/8/8', network],
		['10.0.0.0/-1', network],
		['example.org/8', network],
	])('%s', (text, message) => {
		expect(problems(`trust:\n  - 192.0.2.0/24\n  - "${text}"`)).toEqual([
			`c.yaml:3:5: trust[1] ${message} (found: "${text}")`,
		]);
	});
});

describe('a profile', () => {
	const own = 'name: mine, family: ipv4';
	it.each([
		[
			'toa7',
			'profiles[0] must be nat64, toa6, toa4, akamai4, tencent, cdn4, cdn6, vtoa4, vtoa6 or vip4, or a map that describes a custom profile; did you mean toa6? (found: "toa7")',
		],
		[
			'ucloud',
			'profiles[0] must be a profile: write akamai4 for kind 253 with length 8, or balancer: ucloud-ulb for all that UCloud sends (found: "ucloud")',
		],
		['huawei-elb', 'profiles[0] must be a profile, not a balancer: write balancer: huawei-elb (found: "huawei-elb")'],
		['{name: toa4, priority: 101}', 'profiles[0].priority must be a whole number from 0 to 100 (found: 101)'],
		['{name: toa4, pick: any}', 'profiles[0].pick must be first or last (found: "any")'],
		[`{${own}, kind: 99, length: 8}`, 'profiles[0].address_at is missing: it must be a whole number from 2 to 36'],
		[
			'{name: toa4, family: ipv4, kind: 99, length: 8, address_at: 4}',
			'profiles[0].name must not be the name of a built-in profile: with such a name only priority, pick and uses are allowed (found: "toa4")',
		],
		[
			'{name: toa4, prio: 1}',
			'profiles[0].name must not be the name of a built-in profile: with such a name only priority, pick and uses are allowed (found: "toa4")',
		],
		[
			`{${own}, kind: 8, length: 10, address_at: 4}`,
			"profiles[0].kind must be 6, 7, or from 9 to 255; 2 to 5 and 8 are TCP's own kinds, 0 and 1 have no length (found: 8)",
		],
		[
			`{${own}, kind: 99, length: 41, address_at: 4}`,
			'profiles[0].length must be a whole number from 6 to 40 (found: 41)',
		],
		[
			`{${own}, kind: 99, length: 7, address_at: 4}`,
			'profiles[0] must have room for the address: bytes 4 to 7 of an option of 7 bytes',
		],
		[
			`{${own}, kind: 99, length: 8, address_at: 4, port_at: 7}`,
			'profiles[0] must have room for the port: bytes 7 to 8 of an option of 8 bytes',
		],
		[
			`{${own}, kind: 99, length: 8, address_at: 4, port_at: 3}`,
			'profiles[0] must not have overlapping fields: port (bytes 3 to 4) and address (4 to 7)',
		],
		[
			`{${own}, kind: 99, length: 12, address_at: 4, vip_at: 10}`,
			"profiles[0] must have room for the virtual server's address: bytes 10 to 13 of an option of 12 bytes",
		],
		[
			`{${own}, kind: 99, length: 12, address_at: 4, vip_at: 6}`,
			"profiles[0] must not have overlapping fields: virtual server's address (bytes 6 to 9) and address (4 to 7)",
		],
		[
			`{${own}, kind: 99, length: 12, vip_at: 4, vport_at: 11}`,
			"profiles[0] must have room for the virtual server's port: bytes 11 to 12 of an option of 12 bytes",
		],
		[
			`{${own}, kind: 99, length: 12, vip_at: 4, vport_at: 3}`,
			"profiles[0] must not have overlapping fields: virtual server's port (bytes 3 to 4) and virtual server's address (4 to 7)",
		],
		[
			`{${own}, kind: 99, length: 12, vip_at: 2, vni_at: 9, vni: le32}`,
			'profiles[0] must have room for the VNI: bytes 9 to 12 of an option of 12 bytes',
		],
		[
			`{${own}, kind: 99, length: 16, address_at: 10, port_at: 8, vip_at: 2, vni_at: 6}`,
			'profiles[0] must not have overlapping fields: VNI (bytes 6 to 8) and port (8 to 9)',
		],
		[
			`toa4, {${own}, kind: 99, length: 12, port_at: 8, vip_at: 2}`,
			"profiles[1].port_at requires address_at; the virtual server's port is vport_at (found: 8)",
		],
		[
			`{${own}, kind: 99, length: 12, address_at: 4, vip_at: 8, vni: le32}`,
			'profiles[0].vni requires vni_at, the offset of the VNI (found: "le32")',
		],
		['toa4, {name: vip4, priority: 1}', 'profiles must not set priority, pick or uses for vip4, which names no client'],
		[
			`toa4, {${own}, kind: 99, length: 12, vip_at: 4, uses: [sockopt]}`,
			'profiles must not set priority, pick or uses for mine, which names no client',
		],
		[
			`{${own}, kind: 99, length: 12, address_at: 4, vport_at: 8}`,
			"profiles[0].vport_at requires vip_at, the offset of the virtual server's address (found: 8)",
		],
		[
			`{${own}, kind: 99, length: 12, address_at: 4, vni_at: 8}`,
			"profiles[0].vni_at requires vip_at, the offset of the virtual server's address (found: 8)",
		],
		[
			`toa4, {${own}, kind: 99, length: 12, vip_at: 4, vni_at: 8, vni: le24}`,
			'profiles[1].vni must be be24, be32 or le32 (found: "le24")',
		],
		['{name: toa4, uses: [getsockopt]}', 'profiles[0].uses[0] must be sockopt or transparent (found: "getsockopt")'],
		[
			'{name: toa4, uses: []}',
			'profiles[0].uses must be a list of sockopt, transparent or both (found: an empty list)',
		],
		[
			'{name: toa4, uses: sockopt}',
			'profiles[0].uses must be a list of sockopt, transparent or both (found: "sockopt")',
		],
		['vip4', 'profiles must have a profile that names a client: vip4 has no client address'],
		[
			`vip4, {${own}, kind: 99, length: 12, vip_at: 4}`,
			'profiles must have a profile that names a client: vip4 and mine have no client address',
		],
		['toa4, toa4', 'profiles must not name toa4 twice'],
		[
			`toa4, {${own}, kind: 254, length: 8, address_at: 4}`,
			'profiles must not have two profiles of kind 254 and length 8: toa4 and mine',
		],
		['', 'profiles must be a list of 1 to 16 profiles such as [nat64, toa6, toa4] (found: an empty list)'],
	])('%s', (entries, message) => {
		const [problem, ...others] = problems(`profiles: [${entries}]`);
		expect(problem?.replace(/^c.yaml:1:\d+: /, '')).toBe(message);
		expect(others).toEqual([]);
	});

	it('is refused in a list of more than 16', () => {
		const entries = Array.from(
			{ length: 17 },
			(_, at) => `{name: p${at}, kind: ${100 + at}, length: 8, family: ipv4, address_at: 4}`,
		);
		expect(problems(`profiles: [${entries}]`)).toEqual([expect.stringContaining('must be a list of 1 to 16 profiles')]);
	});
});

describe('a balancer', () => {
	const names =
		'must be huawei-elb, aliyun-slb, aliyun-vtoa, aliyun-cdn, tencent-clb, tencent-gaap, ucloud-ulb, dpvs, lvs-fullnat or ip-vs-ca, or a list of them';
	it.each([
		['huawei', `balancer ${names}; did you mean huawei-elb? (found: "huawei")`],
		['Tencent Cloud CLB', `balancer ${names}; did you mean tencent-clb? (found: "Tencent Cloud CLB")`],
		['VTOA of RDS', `balancer ${names}; did you mean aliyun-vtoa? (found: "VTOA of RDS")`],
		['[dpvs, lvs]', `balancer[1] ${names}; did you mean lvs-fullnat? (found: "lvs")`],
		['f5', `balancer ${names} (found: "f5")`],
		['[]', `balancer ${names} (found: an empty list)`],
		['7', `balancer ${names} (found: 7)`],
	])('%s', (value, message) => {
		expect(problems(`balancer: ${value}`).map((line) => line.replace(/^c.yaml:1:\d+: /, ''))).toEqual([message]);
	});
});

describe('a variable', () => {
	it.each<[Environment, string]>([
		[
			{ TOASCOPE_CLIENTS_MAX_EXPORTED: 'many' },
			'TOASCOPE_CLIENTS_MAX_EXPORTED: clients.max_exported must be a whole number from 0 to 100000 (found: "many")',
		],
		[
			{ TOASCOPE_CLIENTS_MAX_SERIES: '1' },
			'TOASCOPE_CLIENTS_MAX_SERIES: unknown variable; docs/reference/configuration.md lists all of them',
		],
		[{ TOASCOPE_CLIENT_IDLE: '1' }, 'TOASCOPE_CLIENT_IDLE: unknown variable; did you mean TOASCOPE_CLIENTS_IDLE?'],
		[
			{ TOASCOPE_LISTENERS_PORT: '443' },
			'TOASCOPE_LISTENERS_PORT: unknown variable; did you mean TOASCOPE_LISTENERS_PORTS?',
		],
		[{ TOASCOPE_TRUST: '' }, 'TOASCOPE_TRUST: trust must be a list of at most 1024 networks (found: an empty value)'],
		[
			{ TOASCOPE_TRUST: '10.0.0.0/8,10.0.0.1/8' },
			'TOASCOPE_TRUST: trust[1] must have no bits set beyond its prefix: the network is 10.0.0.0/8 (found: "10.0.0.1/8")',
		],
		[
			{ TOASCOPE_TRUST: '[10.0.0.0/8' },
			'TOASCOPE_TRUST: trust must be a list of at most 1024 networks (found: "[10.0.0.0/8")',
		],
		[{ TOASCOPE_TRANSPARENT: 'yes' }, 'TOASCOPE_TRANSPARENT: transparent.enabled must be on or off (found: "yes")'],
		[
			{ TOASCOPE_TRANSPARENT: 'on', TOASCOPE_TRANSPARENT_ENABLED: 'off' },
			'TOASCOPE_TRANSPARENT_ENABLED: transparent.enabled is already set by TOASCOPE_TRANSPARENT',
		],
	])('%j', (env, message) => {
		expect(problems('', env)).toEqual([message]);
	});
});

describe('the YAML text', () => {
	it.each([
		[
			'a duplicate key',
			'sockopt: on\nlog: {level: info, level: warn}\nsockopt: off',
			['c.yaml:2:20: invalid YAML: duplicate key "level"', 'c.yaml:3:1: invalid YAML: duplicate key "sockopt"'],
		],
		[
			'a second document',
			'sockopt: on\n---\nsockopt: off',
			[expect.stringMatching(/^c.yaml:2:1: invalid YAML: .*multiple documents/)],
		],
		['YAML 1.1', '%YAML 1.1\n---\nsockopt: on', ['c.yaml:1:1: invalid YAML: it must be YAML 1.2']],
		[
			'an unmatched bracket, which is the only problem reported',
			'trust: }\nlog: {level: info}',
			[expect.stringMatching(/^c.yaml:1:8: invalid YAML: Unexpected flow-map-end token/)],
		],
		['a tab', 'log:\n\tlevel: info', [expect.stringMatching(/^c.yaml:2:1: invalid YAML: Tabs are not allowed/)]],
		['a tag', 'sockopt: !secret on', [expect.stringMatching(/^c.yaml:1:10: invalid YAML: Unresolved tag/)]],
		['an unknown anchor', 'trust: *x', [expect.stringMatching(/^c.yaml: invalid YAML: Unresolved alias/)]],
		[
			'a key that is a list',
			'[a]: 1',
			[expect.stringMatching(/invalid YAML: With stringKeys, all keys must be strings/)],
		],
		[
			'an alias bomb',
			[
				'a: &a [1, 1]',
				...'bcdefgh'.split('').map((name, at) => `${name}: &${name} [${`*${'abcdefg'[at]},`.repeat(9)}]`),
			].join('\n'),
			['c.yaml: invalid YAML: Excessive alias count indicates a resource exhaustion attack'],
		],
		['deep nesting', `trust: ${'['.repeat(20_000)}`, [expect.stringMatching(/invalid YAML: it is nested too deeply$/)]],
		['more than 1 MiB', `#${' '.repeat(1024 * 1024)}`, ['c.yaml: the file is larger than 1 MiB']],
		['another encoding', Uint8Array.of(0x23, 0xff, 0xfe), ['c.yaml: the file is not UTF-8 text']],
	])('%s', (_, text, expected) => {
		expect(problems(text)).toEqual(expected);
	});

	it('can be exactly 1 MiB', () => {
		const path = join(folder, 'large.yaml');
		writeFileSync(path, `#${' '.repeat(1024 * 1024 - 1)}`);
		expect(loadConfig({ path, env: {} })).toBeDefined();
	});
});

it('lists every problem: those of the file by line, then those of the environment', () => {
	const text = 'log: {level: loud}\nclients: {idle: soon, prefix4: 0}\nsockopts: on\ntrust: [a, 10.0.0.0/8, b]';
	expect(
		problems(text, { TOASCOPE_SOCKOPT: 'x', TOASCOPE_BPF_PIN: 'y' }).map((line) => line.split(' ', 2).join(' ')),
	).toEqual([
		'c.yaml:1:14: log.level',
		'c.yaml:2:17: clients.idle',
		'c.yaml:2:32: clients.prefix4',
		'c.yaml:3:1: unknown',
		'c.yaml:4:9: trust[0]',
		'c.yaml:4:24: trust[2]',
		'TOASCOPE_BPF_PIN: bpf.pin',
		'TOASCOPE_SOCKOPT: sockopt.enabled',
	]);
});

it('finds a bad value in the file even if the environment sets the key', () => {
	expect(problems('sockopt: x', { TOASCOPE_SOCKOPT: 'on' })).toEqual([
		'c.yaml:1:10: sockopt must be on or off, or a map with the keys enabled, ipv4 (found: "x")',
	]);
});

it('reports both an anchor and the alias that uses it elsewhere', () => {
	expect(problems('trust: &t [10.0.0.1/8]\nlog: {level: *t}').map((line) => line.split(' ', 2).join(' '))).toEqual([
		'c.yaml:1:12: trust[0]',
		'c.yaml:2:14: log.level',
	]);
});

describe('a file', () => {
	it('that is given explicitly must exist', () => {
		const path = join(folder, 'none.yaml');
		expect(() => loadConfig({ path, env: {} })).toThrow(
			expect.objectContaining({
				code: 'CONFIG_UNREADABLE',
				exitCode: 3,
				message: `${path}: no such file or directory`,
			}),
		);
	});

	it('must be a file', () => {
		expect(() => loadConfig({ path: folder, env: {} })).toThrow(
			expect.objectContaining({ code: 'CONFIG_UNREADABLE', message: `${folder}: is a directory` }),
		);
	});
});
