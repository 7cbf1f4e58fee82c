// SPDX-License-Identifier: Apache-2.0
/**
 * Profiles and networks as toa.ko accepts and shows them, its counters, and the origin of the
 * loaded module.
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseNetwork } from '../../../daemon/config/cidr.ts';
import { loadConfig } from '../../../daemon/config/load.ts';
import type { Profile } from '../../../daemon/config/profile.ts';
import { profiles } from '../../../daemon/config/profiles.ts';
import { hostRoots, type Roots } from '../../../daemon/host/roots.ts';
import { moduleEvents } from '../../../daemon/model/module_events.ts';
import { parseCounters, readEvents, vendorRows } from '../../../daemon/module/counters.ts';
import { HostLock } from '../../../daemon/module/host_lock.ts';
import { requireFreeFiles } from '../../../daemon/module/load.ts';
import { readLoaded } from '../../../daemon/module/loaded.ts';
import {
	formatProfiles,
	loadArguments,
	matchesTrust,
	Parameters,
	trustWrites,
	unsupportedProfiles,
} from '../../../daemon/module/parameters.ts';
import { readPolicy } from '../../../daemon/module/policy.ts';
import { encodeOption, formatClient } from '../../../daemon/module/verify.ts';
import { version } from '../../../daemon/version.ts';

const networks = (...texts: string[]) => texts.map(parseNetwork);

describe('profiles', () => {
	it("are named, or described in the module's order of fields", () => {
		const own = [
			{ name: 'mine', kind: 99, length: 10, family: 'ipv4', port_at: 2, address_at: 4 },
			{ name: 'bare', kind: 100, length: 18, family: 'ipv6', address_at: 2, syn: 'on' },
		];
		expect(formatProfiles(profiles.parse(['nat64', 'cdn4', ...own]))).toBe(
			'nat64,cdn4,mine:99:10:ipv4:4:2,bare:100:18:ipv6:2:-:syn',
		);
		const ruled = [
			{ name: 'nat64', priority: 100, pick: 'last' },
			{ ...own[0], priority: 1 },
		];
		expect(formatProfiles(profiles.parse(ruled))).toBe('nat64/priority=100/pick=last,mine:99:10:ipv4:4:2/priority=1');
	});

	it('are passed on as far as the module supports them: only clients', () => {
		const client = { name: 'mine', kind: 99, length: 20, family: 'ipv4', port_at: 2, address_at: 4, vip_at: 12 };
		const server = { name: 'bare', kind: 100, length: 8, family: 'ipv4', vip_at: 4 };
		const read = profiles.parse([server, client, 'vip4', { name: 'toa4', uses: ['sockopt'] }, 'nat64']);
		expect(formatProfiles(read)).toBe('mine:99:20:ipv4:4:2,vip4,toa4,nat64');
		expect(unsupportedProfiles(read)).toEqual(['bare', 'mine', 'vip4', 'toa4']);
		expect(unsupportedProfiles(profiles.parse(['toa4', { name: 'nat64', uses: ['transparent', 'sockopt'] }]))).toEqual(
			[],
		);
	});
});

describe('trust', () => {
	it('is one write if it fits a page', () => {
		expect(trustWrites(networks('10.0.0.0/8', '2001:db8::/32'))).toEqual(['10.0.0.0/8,2001:db8::/32\n']);
	});

	it('is an empty line without networks', () => {
		expect(trustWrites([])).toEqual(['\n']);
	});

	it('is split into writes that fit, all but the last with a comma at the end', () => {
		const many = Array.from({ length: 1024 }, (_, i) => parseNetwork(`2001:db8:${i.toString(16)}:ffff::/64`));
		const writes = trustWrites(many);
		expect(writes.length).toBeGreaterThan(1);
		for (const write of writes) expect(write.length).toBeLessThanOrEqual(4095);
		expect(writes.slice(0, -1).every((write) => write.endsWith(','))).toBe(true);
		expect(writes.slice(1).every((write) => write.startsWith(','))).toBe(true);
		expect(writes.join('').trim().split(/,+/)).toEqual(many.map(({ text }) => text));
	});

	it('is compared sorted, and without networks that another one contains', () => {
		const wanted = networks('192.168.0.0/16', '10.1.0.0/16', '10.0.0.0/8', '10.0.0.0/8', '2001:db8::/32');
		expect(matchesTrust('10.0.0.0/8,192.168.0.0/16,2001:db8::/32', wanted)).toBe(true);
		expect(matchesTrust('10.0.0.0/8,192.168.0.0/16', wanted)).toBe(false);
		expect(matchesTrust('10.0.0.0/8,192.168.0.0/16,2001:db9::/32', wanted)).toBe(false);
	});

	it('is compared quickly with thousands of networks', () => {
		const many = Array.from({ length: 20_000 }, (_, i) => parseNetwork(`10.${i >> 8}.${i & 255}.0/24`));
		// comparing each with each takes minutes, which exceeds the timeout of the test
		expect(matchesTrust('10.0.0.0/24 ... and 19999 more', many)).toBe(true);
	});

	it('is compared by its beginning and its length beyond a page', () => {
		const wanted = networks('10.0.0.0/8', '11.0.0.0/8', '12.0.0.0/8');
		expect(matchesTrust('10.0.0.0/8 ... and 2 more', wanted)).toBe(true);
		expect(matchesTrust('10.0.0.0/8 ... and 3 more', wanted)).toBe(false);
	});

	it('is in force from the start, otherwise no peer is trusted until it is', () => {
		const args = (trust: ReturnType<typeof networks>, ipv4: 'mapped' | 'refuse' = 'mapped') =>
			loadArguments({ profiles: profiles.parse(['nat64']), trust, sockopt: { enabled: true, ipv4 } });
		expect(args([])).toEqual(['profiles=nat64']);
		expect(args([], 'refuse')).toEqual(['profiles=nat64', 'sockopt_ipv4=refuse']);
		expect(args(networks('10.0.0.0/8', '2001:db8::/32'))).toEqual(['profiles=nat64', 'trust=10.0.0.0/8,2001:db8::/32']);
		const many = Array.from({ length: 7000 }, (_, i) => parseNetwork(`100.${64 + (i >> 8)}.${i & 255}.0/24`));
		expect(args(many)).toEqual(['profiles=nat64', 'trust=255.255.255.255/32']);
	});

	it('is compared without networks', () => {
		expect(matchesTrust('', [])).toBe(true);
		expect(matchesTrust('', networks('10.0.0.0/8'))).toBe(false);
	});
});

describe('a module in sysfs', () => {
	let root: string;
	let roots: Roots;
	const write = (path: string, text: string) => {
		const file = join(root, path);
		mkdirSync(join(file, '..'), { recursive: true });
		writeFileSync(file, text);
	};
	const ownModule = (stated = version) => {
		write('sys/module/toa/initstate', 'live\n');
		write('sys/module/toa/version', `${stated}\n`);
		write('sys/module/toa/srcversion', 'ABC\n');
		write('sys/module/toa/refcnt', '4\n');
		for (const name of ['profiles', 'trust', 'connections', 'sockopt_ipv4'])
			write(`sys/module/toa/parameters/${name}`, '\n');
	};

	beforeEach(() => {
		root = mkdtempSync(join(tmpdir(), 'toascope-module-'));
		roots = { ...hostRoots, sys: join(root, 'sys'), proc: join(root, 'proc') };
	});
	afterEach(() => rmSync(root, { recursive: true }));

	it('is not found if there is none', () => {
		expect(readLoaded(roots)).toBeUndefined();
	});

	it('is not found while it is being loaded', () => {
		write('sys/module/toa/initstate', 'coming\n');
		expect(readLoaded(roots)).toBeUndefined();
	});

	it("is recognized as toascope's own", () => {
		ownModule();
		expect(readLoaded(roots)).toMatchObject({ origin: 'own', version, srcversion: 'ABC', references: 4 });
	});

	it("is recognized as toascope's, of another version", () => {
		ownModule('0.0.9');
		expect(readLoaded(roots)).toMatchObject({ origin: 'other', version: '0.0.9' });
	});

	it("is recognized as a vendor's: no parameters, and no version", () => {
		write('sys/module/toa/initstate', 'live\n');
		expect(readLoaded(roots)).toMatchObject({ origin: 'foreign', version: undefined });
	});

	it("is recognized as a vendor's under another name by its file in /proc/net, before a load", () => {
		expect(() => requireFreeFiles(roots)).not.toThrow();
		write('proc/net/toa_stats', '');
		expect(() => requireFreeFiles(roots)).toThrow(
			expect.objectContaining({
				code: 'MODULE_FOREIGN',
				message: expect.stringContaining(join(root, 'proc/net/toa_stats')),
			}),
		);
		write('sys/module/toa/initstate', 'going\n');
		expect(() => requireFreeFiles(roots)).not.toThrow();
	});

	it('gets the configuration, and only once', () => {
		ownModule();
		const text = (name: string) => readFileSync(join(root, 'sys/module/toa/parameters', name), 'utf8');
		const config = loadConfig({ path: undefined, env: { TOASCOPE_TRUST: '10.0.0.0/8', TOASCOPE_PROFILES: 'nat64' } });
		new Parameters(roots).apply(config);
		expect(text('profiles')).toBe('nat64');
		expect(text('trust')).toBe('10.0.0.0/8\n');
		// a file that shows the same is not written: this spelling would not survive a write
		write('sys/module/toa/parameters/trust', ' 10.0.0.0/8 \n\n');
		new Parameters(roots).apply(config);
		expect(text('trust')).toBe(' 10.0.0.0/8 \n\n');
	});

	it('gets its previous parameters back, all of them or none', () => {
		ownModule();
		write('sys/module/toa/parameters/profiles', 'nat64\n');
		write('sys/module/toa/parameters/trust', '10.0.0.0/8\n');
		write('sys/module/toa/parameters/sockopt_ipv4', 'mapped\n');
		const parameters = new Parameters(roots);
		const before = parameters.read();
		const env = { TOASCOPE_TRUST: '192.0.2.0/24', TOASCOPE_SOCKOPT_IPV4: 'refuse' };
		parameters.apply(loadConfig({ path: undefined, env }));
		expect(parameters.read()).toMatchObject({ trust: '192.0.2.0/24', sockoptIpv4: 'refuse' });
		parameters.restore(before);
		expect(parameters.read()).toEqual({ profiles: 'nat64', trust: '10.0.0.0/8', sockoptIpv4: 'mapped' });
		const long = { profiles: 'nat64', trust: '10.0.0.0/8 ... and 2 more', sockoptIpv4: 'mapped' };
		expect(() => parameters.restore(long)).toThrow(expect.objectContaining({ code: 'MODULE_REFUSED' }));
		expect(parameters.read().trust).toBe('10.0.0.0/8');
	});

	it('without sockopt_ipv4 counts as mapped, and is refused for any other value', () => {
		ownModule();
		rmSync(join(root, 'sys/module/toa/parameters/sockopt_ipv4'));
		const parameters = new Parameters(roots);
		const before = parameters.read();
		parameters.apply(loadConfig({ path: undefined, env: {} }));
		parameters.restore(before);
		expect(() => parameters.apply(loadConfig({ path: undefined, env: { TOASCOPE_SOCKOPT_IPV4: 'refuse' } }))).toThrow(
			expect.objectContaining({ code: 'MODULE_REFUSED', message: expect.stringContaining('sockopt_ipv4') }),
		);
	});

	it('is compared with the configuration, parameter by parameter', () => {
		ownModule();
		const env = { TOASCOPE_TRUST: '10.0.0.0/8', TOASCOPE_PROFILES: 'nat64' };
		const config = loadConfig({ path: undefined, env });
		const parameters = new Parameters(roots);
		parameters.apply(config);
		expect(parameters.differencesFrom(config)).toBeUndefined();
		expect(
			parameters.differencesFrom(loadConfig({ path: undefined, env: { ...env, TOASCOPE_TRUST: '10.1.0.0/16' } })),
		).toBe('trust=10.0.0.0/8');
		const change = (name: string, text: string) => write(`sys/module/toa/parameters/${name}`, `${text}\n`);
		change('trust', '');
		expect(parameters.differencesFrom(config)).toBe('trust=');
		change('profiles', 'toa6');
		change('sockopt_ipv4', 'refuse');
		expect(parameters.differencesFrom(config)).toBe('profiles=toa6 trust= sockopt_ipv4=refuse');
		parameters.apply(config);
		expect(parameters.differencesFrom(config)).toBeUndefined();
	});

	it('is locked as the instance that is loaded, not one that is loaded later', () => {
		ownModule();
		const lock = HostLock.acquire(roots);
		expect(lock.holdsLoadedModule(roots)).toBe(true);
		renameSync(join(root, 'sys'), join(root, 'gone'));
		expect(lock.holdsLoadedModule(roots)).toBe(false);
		ownModule();
		expect(lock.holdsLoadedModule(roots)).toBe(false);
		lock.release();
		expect(lock.holdsLoadedModule(roots)).toBe(false);
	});

	it('is locked by one daemon at a time, which the error names', () => {
		ownModule();
		const first = HostLock.acquire(roots);
		expect(() => HostLock.acquire(roots)).toThrow(
			expect.objectContaining({
				code: 'ALREADY_RUNNING',
				message: `another toascope (pid ${process.pid}) controls toa.ko, and a host has only one`,
			}),
		);
		first.release();
		first.release();
		HostLock.acquire(roots).release();
		rmSync(join(root, 'sys'), { recursive: true });
		expect(() => HostLock.acquire(roots)).toThrow(expect.objectContaining({ code: 'MODULE_LOAD_FAILED' }));
	});

	it('is refused if a parameter is missing', () => {
		expect(() => new Parameters(roots).apply(loadConfig({ path: undefined, env: {} }))).toThrow(
			expect.objectContaining({ code: 'MODULE_REFUSED', message: expect.stringContaining('toa.ko refuses profiles') }),
		);
	});

	it('can be forbidden by the policy of the kernel', () => {
		expect(readPolicy(roots)).toEqual({ lockdown: undefined, signedOnly: false, secureBoot: undefined });
		write('sys/kernel/security/lockdown', 'none [integrity] confidentiality\n');
		write('sys/module/module/parameters/sig_enforce', 'Y\n');
		write('sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c', '\u0006\0\0\0\u0001');
		expect(readPolicy(roots)).toEqual({ lockdown: 'integrity', signedOnly: true, secureBoot: true });
	});
});

describe('counters', () => {
	it("are read from toascope's own file", () => {
		expect(parseCounters('verdict_toa 12\nconnections 3\nnot a counter\n')).toEqual({
			verdict_toa: 12n,
			connections: 3n,
		});
	});

	it("of the vendor's rows are sums of toascope's own, as in the module", () => {
		const stats = readFileSync(join(import.meta.dirname, '../../../kernel/toa_proc.c'), 'utf8');
		const names = new Map([...stats.matchAll(/^\t\[(TOA_COUNT_\w+)\] = "(\w+)"/gm)].map(([, id, name]) => [id, name]));
		// each counter is one bit, so that a sum shows which counters it contains
		const counters = Object.fromEntries([...names.values()].map((name, i) => [name, 1n << BigInt(i)]));
		const expected = [...stats.matchAll(/^\t\{ "(\w+)", \d, \{(.*?)\} \}/gm)].map(([, row, parts = '']) => [
			row,
			[...parts.matchAll(/\w+/g)].reduce((sum, [id]) => sum + (counters[names.get(id) ?? ''] ?? 0n), 0n),
		]);
		expect(expected).toHaveLength(8);
		expect(vendorRows(counters)).toEqual(Object.fromEntries(expected));
	});

	it('do not fall when a CPU goes offline: the per-CPU file is not read', () => {
		const proc = mkdtempSync(join(tmpdir(), 'toascope-module-'));
		expect(readEvents({ ...hostRoots, proc })).toEqual({});
		mkdirSync(join(proc, 'net'));
		writeFileSync(join(proc, 'net/toa_counters'), 'verdict_toa 5\nverdict_conflict 2\n');
		writeFileSync(join(proc, 'net/toa_stats'), '     CPU0\nsyn_recv_sock_toa        :         3 \n');
		expect(readEvents({ ...hostRoots, proc })).toMatchObject({ verdict_toa: 5n, syn_recv_sock_toa: 7n });
		rmSync(proc, { recursive: true });
	});

	it('are all explained, and no others', () => {
		const source = (name: string) => readFileSync(join(import.meta.dirname, '../../../kernel', name), 'utf8');
		const stats = source('toa_proc.c');
		const ours = [...stats.matchAll(/^\t\[TOA_COUNT_\w+\] = "(\w+)"/gm)].map(([, name]) => name);
		const vendors = [...stats.matchAll(/^\t\{ "(\w+)", \d/gm)].map(([, name]) => name);
		const probes = [...source('toa_hook.c').matchAll(/symbol_name = "(\w+)"/g)].map(([, name]) => `missed_${name}`);
		expect(Object.keys(moduleEvents).toSorted()).toEqual([...ours, ...vendors, ...probes].toSorted());
	});
});

describe('the functional check', () => {
	it.each<[string, string, number, string]>([
		['nat64', '2001:db8::99', 40_999, 'fd14a02720010db8000000000000000000000099'],
		['toa4', '192.0.2.99', 40_999, 'fe08a027c0000263'],
		['cdn4', '192.0.2.99', 0, '1c0701c0000263'],
	])('encodes an option of %s', (name, address, port, hex) => {
		const [profile] = profiles.parse([name]);
		expect(encodeOption(profile as Profile, address, port).toString('hex')).toBe(hex);
	});

	it('decodes the result of getsockopt()', () => {
		expect(formatClient(Buffer.from('20010db8000000000000000000000099a0270000', 'hex'))).toBe('2001:db8::99 40999');
		expect(formatClient(Buffer.from('00000000000000000000ffffc0000263a0270000', 'hex'))).toBe('192.0.2.99 40999');
	});
});
