// SPDX-License-Identifier: Apache-2.0
/** Profiles and networks as toa.ko takes and shows them, what it counts, and whose module is loaded. */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseNetwork } from '../../daemon/config/cidr.ts';
import { loadConfig } from '../../daemon/config/load.ts';
import { type Profile, profiles } from '../../daemon/config/profiles.ts';
import { moduleEvents } from '../../daemon/model/module_events.ts';
import { parseCounters, readEvents, vendorRows } from '../../daemon/module/counters.ts';
import { HostLock } from '../../daemon/module/host_lock.ts';
import { requireFreeFiles } from '../../daemon/module/load.ts';
import { readLoaded } from '../../daemon/module/loaded.ts';
import {
	beyondModule,
	formatProfiles,
	isTrust,
	loadArguments,
	Parameters,
	trustWrites,
} from '../../daemon/module/parameters.ts';
import { readPolicy } from '../../daemon/module/policy.ts';
import { hostRoots, type Roots } from '../../daemon/module/roots.ts';
import { encodeOption, readPeer } from '../../daemon/module/verify.ts';
import { version } from '../../daemon/version.ts';

const networks = (...texts: string[]) => texts.map(parseNetwork);

describe('profiles', () => {
	it('are named, or described in the order of the module', () => {
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

	it('are passed on as far as the module knows them: clients alone', () => {
		const client = { name: 'mine', kind: 99, length: 20, family: 'ipv4', port_at: 2, address_at: 4, vip_at: 12 };
		const server = { name: 'bare', kind: 100, length: 8, family: 'ipv4', vip_at: 4 };
		const read = profiles.parse([server, client, 'vip4', { name: 'toa4', uses: ['sockopt'] }, 'nat64']);
		expect(formatProfiles(read)).toBe('mine:99:20:ipv4:4:2,vip4,toa4,nat64');
		expect(beyondModule(read)).toEqual(['bare', 'mine', 'vip4', 'toa4']);
		expect(beyondModule(profiles.parse(['toa4', { name: 'nat64', uses: ['transparent', 'sockopt'] }]))).toEqual([]);
	});
});

describe('trust', () => {
	it('is one write while it fits a page', () => {
		expect(trustWrites(networks('10.0.0.0/8', '2001:db8::/32'))).toEqual(['10.0.0.0/8,2001:db8::/32\n']);
	});

	it('of nobody is an empty line', () => {
		expect(trustWrites([])).toEqual(['\n']);
	});

	it('goes in pieces that fit, all but the last with a comma at their end', () => {
		const many = Array.from({ length: 1024 }, (_, i) => parseNetwork(`2001:db8:${i.toString(16)}:ffff::/64`));
		const writes = trustWrites(many);
		expect(writes.length).toBeGreaterThan(1);
		for (const write of writes) expect(write.length).toBeLessThanOrEqual(4095);
		expect(writes.slice(0, -1).every((write) => write.endsWith(','))).toBe(true);
		expect(writes.slice(1).every((write) => write.startsWith(','))).toBe(true);
		expect(writes.join('').trim().split(/,+/)).toEqual(many.map(({ text }) => text));
	});

	it('is shown sorted, and without what another network holds', () => {
		const wanted = networks('192.168.0.0/16', '10.1.0.0/16', '10.0.0.0/8', '10.0.0.0/8', '2001:db8::/32');
		expect(isTrust('10.0.0.0/8,192.168.0.0/16,2001:db8::/32', wanted)).toBe(true);
		expect(isTrust('10.0.0.0/8,192.168.0.0/16', wanted)).toBe(false);
		expect(isTrust('10.0.0.0/8,192.168.0.0/16,2001:db9::/32', wanted)).toBe(false);
	});

	it('of thousands is compared at once', () => {
		const many = Array.from({ length: 20_000 }, (_, i) => parseNetwork(`10.${i >> 8}.${i & 255}.0/24`));
		// each with each takes minutes, and the test's own limit ends it
		expect(isTrust('10.0.0.0/24 ... and 19999 more', many)).toBe(true);
	});

	it('beyond a page is shown in part', () => {
		const wanted = networks('10.0.0.0/8', '11.0.0.0/8', '12.0.0.0/8');
		expect(isTrust('10.0.0.0/8 ... and 2 more', wanted)).toBe(true);
		expect(isTrust('10.0.0.0/8 ... and 3 more', wanted)).toBe(false);
	});

	it('is in force from the first moment, or nobody is believed until it is', () => {
		const args = (trust: ReturnType<typeof networks>, ipv4: 'mapped' | 'refuse' = 'mapped') =>
			loadArguments({ profiles: profiles.parse(['nat64']), trust, sockopt: { enabled: true, ipv4 } });
		expect(args([])).toEqual(['profiles=nat64']);
		expect(args([], 'refuse')).toEqual(['profiles=nat64', 'sockopt_ipv4=refuse']);
		expect(args(networks('10.0.0.0/8', '2001:db8::/32'))).toEqual(['profiles=nat64', 'trust=10.0.0.0/8,2001:db8::/32']);
		const many = Array.from({ length: 7000 }, (_, i) => parseNetwork(`100.${64 + (i >> 8)}.${i & 255}.0/24`));
		expect(args(many)).toEqual(['profiles=nat64', 'trust=255.255.255.255/32']);
	});

	it('of nobody', () => {
		expect(isTrust('', [])).toBe(true);
		expect(isTrust('', networks('10.0.0.0/8'))).toBe(false);
	});
});

describe('in a tree of its own', () => {
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

	it('no module', () => {
		expect(readLoaded(roots)).toBeUndefined();
	});

	it('one on its way in', () => {
		write('sys/module/toa/initstate', 'coming\n');
		expect(readLoaded(roots)).toBeUndefined();
	});

	it("toascope's own", () => {
		ownModule();
		expect(readLoaded(roots)).toMatchObject({ whose: 'own', version, srcversion: 'ABC', references: 4 });
	});

	it("toascope's, of another version", () => {
		ownModule('0.0.9');
		expect(readLoaded(roots)).toMatchObject({ whose: 'other', version: '0.0.9' });
	});

	it("a vendor's: no parameters, and no version", () => {
		write('sys/module/toa/initstate', 'live\n');
		expect(readLoaded(roots)).toMatchObject({ whose: 'foreign', version: undefined });
	});

	it("a vendor's under another name: its file in /proc/net says so before anything is loaded", () => {
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

	it('the configuration is written, and once', () => {
		ownModule();
		const text = (name: string) => readFileSync(join(root, 'sys/module/toa/parameters', name), 'utf8');
		const config = loadConfig({ path: undefined, env: { TOASCOPE_TRUST: '10.0.0.0/8', TOASCOPE_PROFILES: 'nat64' } });
		new Parameters(roots).apply(config);
		expect(text('profiles')).toBe('nat64');
		expect(text('trust')).toBe('10.0.0.0/8\n');
		// a file that shows the same is left alone: this spelling would not survive a write
		write('sys/module/toa/parameters/trust', ' 10.0.0.0/8 \n\n');
		new Parameters(roots).apply(config);
		expect(text('trust')).toBe(' 10.0.0.0/8 \n\n');
	});

	it('what was in force can be put back, all of it or nothing', () => {
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

	it('one without sockopt_ipv4 answers as mapped has it, and is refused for anything else', () => {
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

	it('what others changed since is told, each parameter of it', () => {
		ownModule();
		const env = { TOASCOPE_TRUST: '10.0.0.0/8', TOASCOPE_PROFILES: 'nat64' };
		const config = loadConfig({ path: undefined, env });
		const parameters = new Parameters(roots);
		parameters.apply(config);
		expect(parameters.otherThan(config)).toBeUndefined();
		expect(parameters.otherThan(loadConfig({ path: undefined, env: { ...env, TOASCOPE_TRUST: '10.1.0.0/16' } }))).toBe(
			'trust=10.0.0.0/8',
		);
		const change = (name: string, text: string) => write(`sys/module/toa/parameters/${name}`, `${text}\n`);
		change('trust', '');
		expect(parameters.otherThan(config)).toBe('trust=');
		change('profiles', 'toa6');
		change('sockopt_ipv4', 'refuse');
		expect(parameters.otherThan(config)).toBe('profiles=toa6 trust= sockopt_ipv4=refuse');
		parameters.apply(config);
		expect(parameters.otherThan(config)).toBeUndefined();
	});

	it('the lock is of the module that was loaded then, not of one that was loaded since', () => {
		ownModule();
		const lock = HostLock.take(roots);
		expect(lock.isOfLoaded(roots)).toBe(true);
		renameSync(join(root, 'sys'), join(root, 'gone'));
		expect(lock.isOfLoaded(roots)).toBe(false);
		ownModule();
		expect(lock.isOfLoaded(roots)).toBe(false);
		lock.release();
		expect(lock.isOfLoaded(roots)).toBe(false);
	});

	it('one daemon has it at a time, and who unloads it is told which', () => {
		ownModule();
		const first = HostLock.take(roots);
		expect(() => HostLock.take(roots)).toThrow(
			expect.objectContaining({
				code: 'ALREADY_RUNNING',
				message: `another toascope (pid ${process.pid}) has toa.ko, which is one for the whole host`,
			}),
		);
		first.release();
		first.release();
		HostLock.take(roots).release();
		rmSync(join(root, 'sys'), { recursive: true });
		expect(() => HostLock.take(roots)).toThrow(expect.objectContaining({ code: 'MODULE_LOAD_FAILED' }));
	});

	it('a parameter that is not there is refused', () => {
		expect(() => new Parameters(roots).apply(loadConfig({ path: undefined, env: {} }))).toThrow(
			expect.objectContaining({ code: 'MODULE_REFUSED', message: expect.stringContaining('toa.ko refuses profiles') }),
		);
	});

	it('what forbids modules', () => {
		expect(readPolicy(roots)).toEqual({ lockdown: undefined, signedOnly: false, secureBoot: undefined });
		write('sys/kernel/security/lockdown', 'none [integrity] confidentiality\n');
		write('sys/module/module/parameters/sig_enforce', 'Y\n');
		write('sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c', '\u0006\0\0\0\u0001');
		expect(readPolicy(roots)).toEqual({ lockdown: 'integrity', signedOnly: true, secureBoot: true });
	});
});

describe('counters', () => {
	it('of ours', () => {
		expect(parseCounters('verdict_toa 12\nconnections 3\nnot a counter\n')).toEqual({
			verdict_toa: 12n,
			connections: 3n,
		});
	});

	it("of the vendor's rows are sums of ours, as the module has them", () => {
		const stats = readFileSync(join(import.meta.dirname, '../../kernel/toa_stats.c'), 'utf8');
		const names = new Map([...stats.matchAll(/^\t\[(TOA_COUNT_\w+)\] = "(\w+)"/gm)].map(([, id, name]) => [id, name]));
		// each counter a bit of its own, so that a sum says what is in it
		const counters = Object.fromEntries([...names.values()].map((name, i) => [name, 1n << BigInt(i)]));
		const expected = [...stats.matchAll(/^\t\{ "(\w+)", \d, \{(.*?)\} \}/gm)].map(([, row, parts = '']) => [
			row,
			[...parts.matchAll(/\w+/g)].reduce((sum, [id]) => sum + (counters[names.get(id) ?? ''] ?? 0n), 0n),
		]);
		expect(expected).toHaveLength(8);
		expect(vendorRows(counters)).toEqual(Object.fromEntries(expected));
	});

	it('do not fall when a CPU goes offline: the file of its columns is not read', () => {
		const proc = mkdtempSync(join(tmpdir(), 'toascope-module-'));
		expect(readEvents({ ...hostRoots, proc })).toEqual({});
		mkdirSync(join(proc, 'net'));
		writeFileSync(join(proc, 'net/toa_counters'), 'verdict_toa 5\nverdict_conflict 2\n');
		writeFileSync(join(proc, 'net/toa_stats'), '     CPU0\nsyn_recv_sock_toa        :         3 \n');
		expect(readEvents({ ...hostRoots, proc })).toMatchObject({ verdict_toa: 5n, syn_recv_sock_toa: 7n });
		rmSync(proc, { recursive: true });
	});

	it('are explained, each that the module has and no other', () => {
		const source = (name: string) => readFileSync(join(import.meta.dirname, '../../kernel', name), 'utf8');
		const stats = source('toa_stats.c');
		const ours = [...stats.matchAll(/^\t\[TOA_COUNT_\w+\] = "(\w+)"/gm)].map(([, name]) => name);
		const vendors = [...stats.matchAll(/^\t\{ "(\w+)", \d/gm)].map(([, name]) => name);
		const probes = [...source('toa_hook.c').matchAll(/symbol_name = "(\w+)"/g)].map(([, name]) => `missed_${name}`);
		expect(Object.keys(moduleEvents).toSorted()).toEqual([...ours, ...vendors, ...probes].toSorted());
	});
});

describe('the check of what it does', () => {
	it.each<[string, string, number, string]>([
		['nat64', '2001:db8::99', 40_999, 'fd14a02720010db8000000000000000000000099'],
		['toa4', '192.0.2.99', 40_999, 'fe08a027c0000263'],
		['cdn4', '192.0.2.99', 0, '1c0701c0000263'],
	])('has an option of %s', (name, address, port, hex) => {
		const [profile] = profiles.parse([name]);
		expect(encodeOption(profile as Profile, address, port).toString('hex')).toBe(hex);
	});

	it('reads what getsockopt() gave', () => {
		expect(readPeer(Buffer.from('20010db8000000000000000000000099a0270000', 'hex'))).toBe('2001:db8::99 40999');
		expect(readPeer(Buffer.from('00000000000000000000ffffc0000263a0270000', 'hex'))).toBe('192.0.2.99 40999');
	});
});
