// SPDX-License-Identifier: Apache-2.0
/** The doctor's findings, host by host and setting by setting; what this very host says is tested in test/host. */
import { expect, test } from 'vitest';
import { parseMounts } from '../../daemon/capture/mounts.ts';
import type { Features } from '../../daemon/capture/native.ts';
import type { Check } from '../../daemon/doctor/check.ts';
import { fileCheck, forceChecks } from '../../daemon/doctor/configuration.ts';
import { choiceChecks, featureChecks, featuresBut } from '../../daemon/doctor/features.ts';
import { type Host, hostChecks } from '../../daemon/doctor/host.ts';
import { type ModuleFacts, moduleOutlook } from '../../daemon/doctor/module.ts';
import { ToascopeError } from '../../daemon/errors.ts';
import type { Loaded } from '../../daemon/module/loaded.ts';
import { named, values } from '../fixtures/checks.ts';

const mounts = (...lines: string[]) => parseMounts(lines.join('\n'));
const cgroup2 = '32 25 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw';
const bpffs = '33 25 0:28 / /sys/fs/bpf rw,nosuid shared:10 - bpf bpf rw,mode=700';

const facts: ModuleFacts = {
	takesModules: true,
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
	pidsAreKernels: true,
};

const states = (checks: readonly Check[]) => Object.fromEntries(checks.map(({ name, state }) => [name, state]));

test('a good host has nothing to mend', () => {
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
		'CAP_NET_ADMIN alone missing',
		{ status: 'CapEff:\t000000c000000000' },
		{},
		'fail',
		/lacks CAP_NET_ADMIN$/,
	],
	['privileges', 'CAP_SYS_ADMIN for BPF and PERFMON', { status: 'CapEff:\t0000000000201000' }, {}, 'ok', /may load/],
	['cgroup', 'no cgroup v2', { mounts: mounts(bpffs) }, {}, 'fail', /not mounted/],
	[
		'cgroup',
		'a cgroup that is not there',
		{ exists: () => false },
		{ cgroup: '/sys/fs/cgroup/x' },
		'warn',
		/x does not exist yet/,
	],
	[
		'cgroup',
		'a directory elsewhere that is not there',
		{ exists: () => false },
		{ cgroup: '/x' },
		'fail',
		/^\/x does not/,
	],
	['cgroup', 'a directory of another file system', {}, { cgroup: '/tmp' }, 'fail', /not on cgroup v2/],
	['cgroup', 'a cgroup of its own', { isRootCgroup: () => false }, { cgroup: '/sys/fs/cgroup/a' }, 'ok', /cgroup\/a/],
	['cgroup', "a container's own root", { isRootCgroup: () => false }, {}, 'warn', /not the root of this host/],
	['pid_namespace', 'a pid namespace of its own', { pidsAreKernels: false }, {}, 'warn', /not those of this \/proc/],
	['bpffs', 'no bpffs where it can be mounted', { mounts: mounts(cgroup2) }, {}, 'warn', /not mounted at/],
	['bpffs', 'pins elsewhere', {}, { bpf: { pin: '/var/pins' } }, 'fail', /not on a bpffs/],
	['bpffs', 'pins on the mount', {}, { bpf: { pin: '/sys/fs/bpf' } }, 'fail', /is a bpffs itself/],
	['bpffs', 'a read-only bpffs', { mounts: mounts(cgroup2, bpffs.replace(' rw,', ' ro,')) }, {}, 'fail', /read-only/],
	[
		'bpffs',
		'a bpffs that every user may write',
		{ mode: () => 0o41777 },
		{},
		'warn',
		/^every user may write .*\(mode 1777\)/,
	],
	['bpffs', 'no pins wanted', { mounts: mounts(cgroup2) }, { bpf: { pin: 'off' } }, 'ok', /not used/],
	[
		'lockdown',
		'lockdown',
		{ lockdown: 'none integrity [confidentiality]' },
		{},
		'ok',
		/^confidentiality: eBPF goes on/,
	],
	['jit', 'an interpreter', { jit: '0' }, {}, 'warn', /interpreted/],
	['jit', 'no JIT switch to read', { jit: undefined }, {}, 'ok', /not told/],
])('%s: %s', (name, _what, host, settings, state, found) => {
	const result = named(hostChecks({ ...goodHost, ...host }, values(settings), false), name);
	expect(result).toMatchObject({ state, found: expect.stringMatching(found) });
	if (state !== 'ok') expect(result.advice).toMatch(/./);
});

test('programs that no daemon answers for are told of, with how to be rid of them', () => {
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
])('http.listen %s, which others reach: %s', (listen, open) => {
	const found = forceChecks(values({ http: { listen } })).find(({ name }) => name === 'http_open');
	expect(found?.state).toBe(open ? 'warn' : undefined);
	if (open) expect(found?.found).toContain(listen);
});

test('who asks while a daemon runs needs no privileges', () => {
	const result = named(hostChecks({ ...goodHost, status: 'CapEff:\t0000000000000000' }, values(), true), 'privileges');
	expect(result).toMatchObject({ state: 'ok', found: expect.stringMatching(/lacks CAP_BPF.*the daemon has/) });
});

const allFeatures = featuresBut({});
const tried = (refused: Partial<Features> = {}, refusal?: string) =>
	({ features: featuresBut(refused), refusal, by: 'trial' }) as const;

test('each refused feature has its errno and what follows; what there is another way for is no fault', () => {
	const vital = ['sockops', 'socketStorage', 'ringbuf', 'getsockopt', 'getpeername'];
	for (const name of Object.keys(allFeatures)) {
		const result = named(featureChecks(tried({ [name]: 'EPERM' })), `feature.${name}`);
		expect(result, name).toMatchObject({ state: vital.includes(name) ? 'fail' : 'ok', found: 'refused (EPERM)' });
		expect(result.advice, name).toMatch(/./);
	}
	expect(featureChecks(tried()).every(({ found, state }) => state === 'ok' && found !== '')).toBe(true);
});

test("the kernel's refusal of the programs is a FAIL with its words", () => {
	const result = named(featureChecks(tried({}, 'load toascope_sockops: Invalid argument (EINVAL)')), 'programs');
	expect(result).toMatchObject({ state: 'fail', found: expect.stringContaining('toascope_sockops') });
});

const noModule = moduleOutlook({ ...facts, takesModules: false });
const loaded: Loaded = {
	whose: 'own',
	version: '0.1.0',
	srcversion: 'ABC',
	parameters: {},
	references: 0,
	taint: 'OE',
};

test.each<[string, Partial<ModuleFacts>, boolean, RegExp]>([
	['a kernel without modules', { takesModules: false }, false, /takes no modules/],
	['its own is loaded', { loaded }, true, /^loaded: version 0\.1\.0, srcversion ABC: toascope's own$/],
	["somebody else's is loaded", { loaded: { ...loaded, whose: 'foreign' } }, false, /not toascope's$/],
	['another version is loaded', { loaded: { ...loaded, whose: 'other' } }, false, /of another version$/],
	['signatures', { built: true, policy: { ...facts.policy, signedOnly: true } }, false, /signed modules alone$/],
	['lockdown', { built: true, policy: { ...facts.policy, lockdown: 'integrity' } }, false, /signed modules alone$/],
	[
		'signed, where signatures are needed',
		{ installed: { signed: true }, policy: { ...facts.policy, signedOnly: true } },
		true,
		/and signed$/,
	],
	['installed', { installed: { signed: false }, missing: [{ part: 'make' }] }, true, /installed for this kernel$/],
	['built before', { built: true, missing: [{ part: 'make' }] }, true, /built for this kernel$/],
	['nothing missing', {}, true, /all that building it takes is here$/],
	['make is missing', { missing: [{ part: 'make' }] }, false, /building it takes make$/],
])('the module: %s', (_, more, works, found) => {
	const outlook = moduleOutlook({ ...facts, ...more });
	expect(outlook).toMatchObject({ works, found: expect.stringMatching(found) });
	expect(outlook.advice === undefined).toBe(works);
});

test('where bpf does not work the module is taken, and the module where it is chosen', () => {
	const module = moduleOutlook({ ...facts, loaded });
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

test('with the module, profiles that say more than it does are named', () => {
	const choice = (profiles: object, running: 'bpf' | 'module') =>
		choiceChecks(
			{ tried: tried(), module: moduleOutlook({ ...facts, loaded }), running, compatServers: [] },
			values(profiles),
		);
	const virtual = { profiles: ['toa4', 'vip4', { name: 'tencent', uses: ['transparent'] }] };
	expect(named(choice(virtual, 'module'), 'module_profiles')).toMatchObject({
		state: 'warn',
		found: 'vip4, tencent: toa.ko tells no virtual server and knows no uses, only clients',
		advice: 'set provider to bpf',
	});
	expect(states(choice(virtual, 'bpf'))).not.toHaveProperty('module_profiles');
	expect(states(choice({ profiles: ['toa4'] }, 'module'))).not.toHaveProperty('module_profiles');
});

test('provider and accept program follow from what works, and say why the others do not', () => {
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
		advice: 'owners are the listeners',
	});
	const nobody = { fexit: 'EPERM', taskRegisters: 'EPERM', listeningSockets: 'EPERM' };
	expect(named(choice(nobody), 'accept_program').advice).toBe('connections have no owners');
	expect(states(choice({}, { provider: 'module' }))).toEqual({ provider: 'fail', module: 'fail' });
	const nothing = { tried: undefined, module: noModule, running: undefined, compatServers: [] };
	expect(states(choiceChecks(nothing, values()))).toEqual({ provider: 'fail', module: 'fail' });
	expect(named(choice({ setError: 'EINVAL' }), 'getsockopt').found).toMatch(/ENOPROTOOPT/);
	expect(named(choice({}, { sockopt: false }), 'getsockopt').found).toMatch(/off/);
	const some = { transparent: { enabled: true, ports: [80, '8000-8100'] } };
	expect(named(choice({}, some), 'transparent').found).toMatch(/^on for local ports 80, 8000-8100: /);
});

test('an empty trust is a warning, a wrong file a FAIL that says how much is wrong', () => {
	expect(named(forceChecks(values()), 'trust').state).toBe('warn');
	expect(named(forceChecks(values({ trust: ['10.0.0.0/8'] })), 'trust')).toMatchObject({
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
	expect(fileCheck('/f', missing, true).advice).toBe('name it; neither a start nor a reload takes it so');
	expect(fileCheck('/f', new ToascopeError('CONFIG_INVALID', '/f:1:1: x'), true).advice).toMatch(/^correct it; /);
});

test('what is looked for', () => {
	const own = { name: 'mine', kind: 99, length: 10, family: 'ipv4', address_at: 4 };
	const settings = { profiles: ['toa4', own], listeners: { ports: [443, '8000-8100'] } };
	expect(named(forceChecks(values(settings)), 'scope').found).toBe('toa4, mine on local ports 443, 8000-8100');
	const host = values({ profiles: ['toa4'], listeners: { netns: 'host' } });
	expect(named(forceChecks(host), 'scope').found).toBe("toa4 on all local ports, in toascope's own network namespace");
	const one = { profiles: ['toa4'], listeners: { ports: [443] } };
	expect(named(forceChecks(values(one)), 'scope').found).toBe('toa4 on local port 443');
});

test('32-bit servers are told of where bpf cannot answer them', () => {
	const compatServers = [{ pid: 42, comm: 'old', uid: 33, ports: [80, 443] }];
	const choice = (settings: object, module = noModule) =>
		choiceChecks({ tried: tried(), module, running: undefined, compatServers }, values(settings));
	const found = (settings: object) => choice(settings).find(({ name }) => name === 'compat_servers')?.found;
	expect(found({})).toMatch(/^old \(process 42, ports 80, 443\): .*ENOPROTOOPT/);
	expect(found({ listeners: { ports: ['400-500'] } })).toMatch(/^old \(process 42, port 443\): /);
	expect(found({ listeners: { ports: [22] } })).toBeUndefined();
	expect(found({ sockopt: 'off' })).toBeUndefined();
	const withModule = choice({}, moduleOutlook({ ...facts, loaded }));
	expect(named(withModule, 'provider').found).toBe('module (auto: it is loaded, and 32-bit servers need it)');
	expect(states(withModule)).not.toHaveProperty('compat_servers');
	// a program of any user decides only on ports that the configuration names
	compatServers[0] = { pid: 42, comm: 'old', uid: 1000, ports: [80, 443] };
	const ofUser = (settings: object) => choice(settings, moduleOutlook({ ...facts, loaded }));
	expect(named(ofUser({}), 'provider').found).toMatch(/^bpf /);
	expect(named(ofUser({}), 'compat_servers').state).toBe('warn');
	expect(named(ofUser({ listeners: { ports: [443] } }), 'provider').found).toMatch(/^module /);
	const chosen = choice({ provider: 'bpf' }, moduleOutlook({ ...facts, loaded }));
	expect(named(chosen, 'compat_servers').state).toBe('warn');
});
