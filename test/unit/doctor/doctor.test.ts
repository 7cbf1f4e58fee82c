// SPDX-License-Identifier: Apache-2.0
/**
 * The doctor's findings for various hosts and settings; test/host tests the findings on the running
 * host.
 */
import { expect, test } from 'vitest';
import type { Check } from '../../../daemon/doctor/check.ts';
import { fileCheck, inForceChecks } from '../../../daemon/doctor/configuration.ts';
import { choiceChecks, featureChecks, featuresExcept } from '../../../daemon/doctor/features.ts';
import { type Host, hostChecks } from '../../../daemon/doctor/host.ts';
import { type ModuleFacts, moduleForecast } from '../../../daemon/doctor/module.ts';
import { ToascopeError } from '../../../daemon/errors.ts';
import { parseMounts } from '../../../daemon/host/mounts.ts';
import type { LoadedModule } from '../../../daemon/module/loaded.ts';
import type { Features } from '../../../native/binding.ts';
import { named, values } from '../../kit/model/checks.ts';

const mounts = (...lines: string[]) => parseMounts(lines.join('\n'));
const cgroup2 = '32 25 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw';
const bpffs = '33 25 0:28 / /sys/fs/bpf rw,nosuid shared:10 - bpf bpf rw,mode=700';

const facts: ModuleFacts = {
	supportsModules: true,
	loaded: undefined,
	installed: undefined,
	built: false,
	missing: [],
	install: '',
	policy: { lockdown: 'none', signedOnly: false, secureBoot: undefined },
};

const goodHost: Host = {
	kernel: '6.1.0-18-amd64',
	machine: 'x64',
	hasBtf: true,
	status: 'Name:\tnode\nCapEff:\t000001ffffffffff\n',
	mounts: mounts(cgroup2, bpffs),
	lockdown: '[none] integrity confidentiality',
	jit: '1',
	module: facts,
	compatServers: [],
	exists: (path) => !path.includes('/sys/fs/bpf/'),
	isRootCgroup: () => true,
	inInitialPidNamespace: true,
};

const states = (checks: readonly Check[]) => Object.fromEntries(checks.map(({ name, state }) => [name, state]));

test('a good host has only good findings', () => {
	expect(states(hostChecks(goodHost, values(), false))).toEqual({
		kernel: 'ok',
		btf: 'ok',
		privileges: 'ok',
		cgroup: 'ok',
		bpffs: 'ok',
		lockdown: 'ok',
		jit: 'ok',
	});
});

test.each<[string, string, Partial<Host>, object, Check['state'], RegExp]>([
	['btf', 'no BTF', { hasBtf: false, exists: () => true }, {}, 'fail', /vmlinux is missing/],
	['btf', 'no sysfs', { hasBtf: false, exists: () => false }, {}, 'fail', /^\/sys is not mounted here/],
	[
		'privileges',
		'no capability at all',
		{ status: 'CapEff:\t0000000000000000' },
		{},
		'fail',
		/CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON$/,
	],
	[
		'privileges',
		'only CAP_NET_ADMIN is missing',
		{ status: 'CapEff:\t000000c000000000' },
		{},
		'fail',
		/lacks CAP_NET_ADMIN$/,
	],
	['privileges', 'CAP_SYS_ADMIN for BPF and PERFMON', { status: 'CapEff:\t0000000000201000' }, {}, 'ok', /can load/],
	['cgroup', 'no cgroup v2', { mounts: mounts(bpffs) }, {}, 'fail', /not mounted/],
	[
		'cgroup',
		'a cgroup that does not exist yet',
		{ exists: () => false },
		{ cgroup: '/sys/fs/cgroup/x' },
		'warn',
		/x does not exist yet/,
	],
	[
		'cgroup',
		'a missing directory outside of cgroup v2',
		{ exists: () => false },
		{ cgroup: '/x' },
		'fail',
		/^\/x does not/,
	],
	['cgroup', 'a directory on another file system', {}, { cgroup: '/tmp' }, 'fail', /not on cgroup v2/],
	['cgroup', 'a cgroup of its own', { isRootCgroup: () => false }, { cgroup: '/sys/fs/cgroup/a' }, 'ok', /cgroup\/a/],
	['cgroup', "a container's own root", { isRootCgroup: () => false }, {}, 'warn', /not the root cgroup of this host/],
	['pid_namespace', 'a pid namespace of its own', { inInitialPidNamespace: false }, {}, 'warn', /do not match \/proc/],
	['bpffs', 'no bpffs where it can be mounted', { mounts: mounts(cgroup2) }, {}, 'warn', /not mounted at/],
	['bpffs', 'pins elsewhere', {}, { bpf: { pin: '/var/pins' } }, 'fail', /not on a bpffs/],
	['bpffs', 'pins on the mount', {}, { bpf: { pin: '/sys/fs/bpf' } }, 'fail', /is itself a bpffs mount/],
	['bpffs', 'a read-only bpffs', { mounts: mounts(cgroup2, bpffs.replace(' rw,', ' ro,')) }, {}, 'fail', /read-only/],
	[
		'bpffs',
		'a bpffs that every user can write to',
		{ mode: () => 0o41777 },
		{},
		'warn',
		/^every user can write .*\(mode 1777\)/,
	],
	['bpffs', 'pins are off', { mounts: mounts(cgroup2) }, { bpf: { pin: 'off' } }, 'ok', /not used/],
	[
		'lockdown',
		'lockdown',
		{ lockdown: 'none integrity [confidentiality]' },
		{},
		'ok',
		/^confidentiality: eBPF still works/,
	],
	['jit', 'the interpreter', { jit: '0' }, {}, 'warn', /interpreted/],
	['jit', 'no JIT switch to read', { jit: undefined }, {}, 'ok', /not visible/],
])('%s: %s', (name, _what, host, settings, state, found) => {
	const result = named(hostChecks({ ...goodHost, ...host }, values(settings), false), name);
	expect(result).toMatchObject({ state, found: expect.stringMatching(found) });
	if (state !== 'ok') expect(result.advice).toMatch(/./);
});

test('programs left attached without a daemon are reported, with the command that detaches them', () => {
	const host = { ...goodHost, exists: (path: string) => /^\/sys\/fs\/bpf\/toascope\/v\d+\/links$/.test(path) };
	const left = (settings: object, runs: boolean) =>
		hostChecks(host, values(settings), runs).find(({ name }) => name === 'left_attached');
	expect(left({}, false)).toMatchObject({
		state: 'warn',
		advice: expect.stringMatching(/: toascope detach$/),
	});
	expect(left({}, true)).toBeUndefined();
	expect(left({ bpf: { pin: 'off' } }, false)).toBeUndefined();
	expect(left({ bpf: { pin: '/sys/fs/bpf/other' } }, false)).toBeUndefined();
});

test.each([
	['0.0.0.0:10646', true],
	['[::]:10646', true],
	['192.0.2.1:10646', true],
	['127.0.0.1:10646', false],
	['127.9.0.1:10646', false],
	['[::1]:10646', false],
	['off', false],
])('http.listen %s is reported as reachable by others: %s', (listen, open) => {
	const found = inForceChecks(values({ http: { listen } })).find(({ name }) => name === 'http_open');
	expect(found?.state).toBe(open ? 'warn' : undefined);
	if (open) expect(found?.found).toContain(listen);
});

test('the doctor needs no privileges while a daemon runs', () => {
	const result = named(hostChecks({ ...goodHost, status: 'CapEff:\t0000000000000000' }, values(), true), 'privileges');
	expect(result).toMatchObject({ state: 'ok', found: expect.stringMatching(/lacks CAP_BPF.*the daemon has/) });
});

const allFeatures = featuresExcept({});
const tried = (refused: Partial<Features> = {}, refusal?: string) =>
	({ features: featuresExcept(refused), refusal, by: 'trial' }) as const;

test('a refused feature has its errno and a consequence; it is a FAIL only without an alternative', () => {
	const vital = ['sockops', 'socketStorage', 'ringbuf', 'getsockopt', 'getpeername'];
	for (const name of Object.keys(allFeatures)) {
		const result = named(featureChecks(tried({ [name]: 'EPERM' })), `feature.${name}`);
		expect(result, name).toMatchObject({ state: vital.includes(name) ? 'fail' : 'ok', found: 'refused (EPERM)' });
		expect(result.advice, name).toMatch(/./);
	}
	expect(featureChecks(tried()).every(({ found, state }) => state === 'ok' && found !== '')).toBe(true);
});

test("the kernel's refusal of the programs is a FAIL that quotes the error", () => {
	const result = named(featureChecks(tried({}, 'load toascope_sockops: Invalid argument (EINVAL)')), 'programs');
	expect(result).toMatchObject({ state: 'fail', found: expect.stringContaining('toascope_sockops') });
});

const noModule = moduleForecast({ ...facts, supportsModules: false });
const loaded: LoadedModule = {
	origin: 'own',
	version: '0.1.0',
	srcversion: 'ABC',
	parameters: {},
	references: 0,
	taint: 'OE',
};

test.each<[string, Partial<ModuleFacts>, boolean, RegExp]>([
	['a kernel without modules', { supportsModules: false }, false, /does not support modules/],
	["toascope's own is loaded", { loaded }, true, /^loaded: version 0\.1\.0, srcversion ABC: toascope's own$/],
	['a foreign module is loaded', { loaded: { ...loaded, origin: 'foreign' } }, false, /not toascope's$/],
	['another version is loaded', { loaded: { ...loaded, origin: 'other' } }, false, /of another version$/],
	['signatures', { built: true, policy: { ...facts.policy, signedOnly: true } }, false, /only signed modules$/],
	['lockdown', { built: true, policy: { ...facts.policy, lockdown: 'integrity' } }, false, /only signed modules$/],
	[
		'signed, where signatures are needed',
		{ installed: { signed: true }, policy: { ...facts.policy, signedOnly: true } },
		true,
		/and signed$/,
	],
	['installed', { installed: { signed: false }, missing: [{ part: 'make' }] }, true, /installed for this kernel$/],
	['built before', { built: true, missing: [{ part: 'make' }] }, true, /built for this kernel$/],
	['nothing missing', {}, true, /everything needed to build it is installed$/],
	['make is missing', { missing: [{ part: 'make' }] }, false, /cannot be built without make$/],
])('the module: %s', (_, more, works, found) => {
	const forecast = moduleForecast({ ...facts, ...more });
	expect(forecast).toMatchObject({ works, found: expect.stringMatching(found) });
	expect(forecast.advice === undefined).toBe(works);
});

test('the module is used where bpf does not work, and where the configuration chooses it', () => {
	const module = moduleForecast({ ...facts, loaded });
	const auto = choiceChecks({ tried: undefined, module, running: undefined, compatServers: [] }, values());
	expect(named(auto, 'provider')).toMatchObject({ state: 'ok', found: 'module (auto: bpf does not work here)' });
	const chosen = choiceChecks(
		{ tried: tried(), module, running: undefined, compatServers: [] },
		values({ provider: 'module' }),
	);
	expect(named(chosen, 'provider').found).toBe('module (chosen in the configuration)');
	expect(named(chosen, 'getsockopt').found).toMatch(/^toa\.ko answers/);
	const running = choiceChecks({ tried: tried(), module, running: 'module', compatServers: [] }, values());
	expect(named(running, 'provider').found).toBe('module (auto: bpf does not work here)');
});

test('with the module, profiles that it supports only partly are named', () => {
	const choice = (profiles: object, running: 'bpf' | 'module') =>
		choiceChecks(
			{ tried: tried(), module: moduleForecast({ ...facts, loaded }), running, compatServers: [] },
			values(profiles),
		);
	const virtual = { profiles: ['toa4', 'vip4', { name: 'tencent', uses: ['transparent'] }] };
	expect(named(choice(virtual, 'module'), 'module_profiles')).toMatchObject({
		state: 'warn',
		found: 'vip4, tencent: toa.ko reports only clients, not virtual servers, and ignores uses',
		advice: 'set provider to bpf',
	});
	expect(states(choice(virtual, 'bpf'))).not.toHaveProperty('module_profiles');
	expect(states(choice({ profiles: ['toa4'] }, 'module'))).not.toHaveProperty('module_profiles');
});

test('provider and accept program depend on what works; the finding says why others do not', () => {
	const choice = (refused: Partial<Features> = {}, settings: object = {}) =>
		choiceChecks({ tried: tried(refused), module: noModule, running: undefined, compatServers: [] }, values(settings));
	expect(states(choice())).toEqual({
		provider: 'ok',
		module: 'ok',
		accept_program: 'ok',
		getsockopt: 'ok',
		transparent: 'ok',
	});
	expect(named(choice(), 'provider').found).toBe('bpf (auto: it works here)');
	expect(named(choice({ fexit: 'EPERM' }), 'accept_program')).toMatchObject({
		state: 'ok',
		found: expect.stringMatching(/^getpeername, since fexit is refused \(EPERM\)/),
	});
	expect(named(choice({ fexit: 'EPERM', taskRegisters: 'EINVAL' }), 'accept_program')).toMatchObject({
		state: 'warn',
		found: expect.stringMatching(/^none: fexit .*\(EPERM\).*\(EINVAL\)$/),
		advice: 'the owner is the listening process',
	});
	const noOwners = { fexit: 'EPERM', taskRegisters: 'EPERM', listeningSockets: 'EPERM' };
	expect(named(choice(noOwners), 'accept_program').advice).toBe('connections have no owner');
	expect(states(choice({}, { provider: 'module' }))).toEqual({ provider: 'fail', module: 'fail' });
	const noProvider = { tried: undefined, module: noModule, running: undefined, compatServers: [] };
	expect(states(choiceChecks(noProvider, values()))).toEqual({ provider: 'fail', module: 'fail' });
	expect(named(choice({ setError: 'EINVAL' }), 'getsockopt').found).toMatch(/ENOPROTOOPT/);
	expect(named(choice({}, { sockopt: false }), 'getsockopt').found).toMatch(/off/);
	const some = { transparent: { enabled: true, ports: [80, '8000-8100'] } };
	expect(named(choice({}, some), 'transparent').found).toMatch(/^on for local ports 80, 8000-8100: /);
});

test('an empty trust is a warning; an invalid file is a FAIL that counts the problems', () => {
	expect(named(inForceChecks(values()), 'trust').state).toBe('warn');
	expect(named(inForceChecks(values({ trust: ['10.0.0.0/8'] })), 'trust')).toMatchObject({
		state: 'ok',
		found: '10.0.0.0/8',
	});
	const wrong = new ToascopeError('CONFIG_INVALID', 'one\ntwo\nthree');
	expect(fileCheck('/f', wrong, true)).toMatchObject({
		state: 'fail',
		found: 'one (and 2 more: toascope config check)',
	});
	const cause = Object.assign(new Error('no'), { code: 'EACCES' });
	const denied = new ToascopeError('CONFIG_UNREADABLE', '/f: permission denied', { cause });
	expect(fileCheck('/f', denied, true).state).toBe('ok');
	expect(fileCheck('/f', denied, false).state).toBe('fail');
	const missing = new ToascopeError('CONFIG_UNREADABLE', '/f: no such file', { hint: 'name it', cause: {} });
	expect(fileCheck('/f', missing, true).advice).toBe('name it; until then every start and reload fails');
	expect(fileCheck('/f', new ToascopeError('CONFIG_INVALID', '/f:1:1: x'), true).advice).toMatch(/^correct it; /);
});

test('the scope names profiles, ports and network namespace', () => {
	const own = { name: 'mine', kind: 99, length: 10, family: 'ipv4', address_at: 4 };
	const settings = { profiles: ['toa4', own], listeners: { ports: [443, '8000-8100'] } };
	expect(named(inForceChecks(values(settings)), 'scope').found).toBe('toa4, mine on local ports 443, 8000-8100');
	const host = values({ profiles: ['toa4'], listeners: { netns: 'host' } });
	expect(named(inForceChecks(host), 'scope').found).toBe(
		"toa4 on all local ports, in toascope's own network namespace",
	);
	const one = { profiles: ['toa4'], listeners: { ports: [443] } };
	expect(named(inForceChecks(values(one)), 'scope').found).toBe('toa4 on local port 443');
});

test('32-bit servers are reported where bpf cannot answer them', () => {
	const compatServers = [{ pid: 42, comm: 'old', uid: 33, ports: [80, 443] }];
	const choice = (settings: object, module = noModule) =>
		choiceChecks({ tried: tried(), module, running: undefined, compatServers }, values(settings));
	const found = (settings: object) => choice(settings).find(({ name }) => name === 'compat_servers')?.found;
	expect(found({})).toMatch(/^old \(process 42, ports 80, 443\): .*ENOPROTOOPT/);
	expect(found({ listeners: { ports: ['400-500'] } })).toMatch(/^old \(process 42, port 443\): /);
	expect(found({ listeners: { ports: [22] } })).toBeUndefined();
	expect(found({ sockopt: 'off' })).toBeUndefined();
	const withModule = choice({}, moduleForecast({ ...facts, loaded }));
	expect(named(withModule, 'provider').found).toBe('module (auto: it is loaded, and 32-bit servers need it)');
	expect(states(withModule)).not.toHaveProperty('compat_servers');
	// an ordinary user's server affects the choice only on ports that the configuration names
	compatServers[0] = { pid: 42, comm: 'old', uid: 1000, ports: [80, 443] };
	const ofUser = (settings: object) => choice(settings, moduleForecast({ ...facts, loaded }));
	expect(named(ofUser({}), 'provider').found).toMatch(/^bpf /);
	expect(named(ofUser({}), 'compat_servers').state).toBe('warn');
	expect(named(ofUser({ listeners: { ports: [443] } }), 'provider').found).toMatch(/^module /);
	const chosen = choice({ provider: 'bpf' }, moduleForecast({ ...facts, loaded }));
	expect(named(chosen, 'compat_servers').state).toBe('warn');
});
