// SPDX-License-Identifier: Apache-2.0
/** The doctor's findings, host by host and daemon by daemon; what this very host says is tested in test/host. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { parseMounts } from '../../daemon/capture/mounts.ts';
import type { Features } from '../../daemon/capture/native.ts';
import { toConfig, written } from '../../daemon/config/config.ts';
import { defaultConfig } from '../../daemon/config/load.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import type { Check } from '../../daemon/doctor/check.ts';
import { fileCheck, forceChecks } from '../../daemon/doctor/configuration.ts';
import { daemonCheck, reloadCheck } from '../../daemon/doctor/daemon.ts';
import { choiceChecks, featureChecks, featuresBut } from '../../daemon/doctor/features.ts';
import { type Host, hostChecks } from '../../daemon/doctor/host.ts';
import { type ModuleFacts, moduleOutlook } from '../../daemon/doctor/module.ts';
import { formatReport } from '../../daemon/doctor/report.ts';
import { findDaemon, type Status } from '../../daemon/doctor/status.ts';
import { ToascopeError } from '../../daemon/errors.ts';
import type { Loaded } from '../../daemon/module/loaded.ts';
import { statusOf } from '../fixtures/status.ts';

const config = (settings: object = {}) => toConfig(fileSchema.parse(settings), {});
const values = (settings: object = {}) => written(config(settings));
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
	exists: (path) => !path.includes('/sys/fs/bpf/'),
	isRootCgroup: () => true,
};

function named(checks: readonly Check[], name: string): Check {
	const found = checks.find((each) => each.name === name);
	if (found === undefined) throw new Error(`no check ${name}`);
	return found;
}

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
	['btf', 'no BTF', { hasBtf: false }, {}, 'fail', /vmlinux is missing/],
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
		'fail',
		/x does not exist/,
	],
	['cgroup', 'a directory of another file system', {}, { cgroup: '/tmp' }, 'fail', /not on cgroup v2/],
	['cgroup', 'a cgroup of its own', { isRootCgroup: () => false }, { cgroup: '/sys/fs/cgroup/a' }, 'ok', /cgroup\/a/],
	['cgroup', "a container's own root", { isRootCgroup: () => false }, {}, 'warn', /not the root of this host/],
	['bpffs', 'no bpffs where it can be mounted', { mounts: mounts(cgroup2) }, {}, 'warn', /not mounted at/],
	['bpffs', 'pins elsewhere', {}, { bpf: { pin: '/var/pins' } }, 'fail', /not on a bpffs/],
	['bpffs', 'a read-only bpffs', { mounts: mounts(cgroup2, bpffs.replace(' rw,', ' ro,')) }, {}, 'fail', /read-only/],
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
		advice: expect.stringMatching(/rm -r \/sys\/fs\/bpf\/toascope$/),
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
	const auto = choiceChecks({ tried: undefined, module, running: undefined }, values());
	expect(named(auto, 'provider')).toMatchObject({ state: 'ok', found: 'module (auto: bpf does not work here)' });
	const chosen = choiceChecks({ tried: tried(), module, running: undefined }, values({ provider: 'module' }));
	expect(named(chosen, 'provider').found).toBe('module (chosen in the configuration)');
	expect(named(chosen, 'getsockopt').found).toMatch(/^toa\.ko answers/);
	const running = choiceChecks({ tried: tried(), module, running: 'module' }, values());
	expect(named(running, 'provider').found).toBe('module (auto: bpf does not work here)');
});

test('provider and accept program follow from what works, and say why the others do not', () => {
	const choice = (refused: Partial<Features> = {}, settings: object = {}) =>
		choiceChecks({ tried: tried(refused), module: noModule, running: undefined }, values(settings));
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
	const nothing = { tried: undefined, module: noModule, running: undefined };
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

const path = '/etc/toascope/toascope.yaml';
const running = (settings: object, more: Partial<Status> = {}): Status => ({
	...statusOf({}),
	config: { file: path, variables: [], values: values(settings) },
	...more,
});
const file = (settings: object) => ({ path, config: config(settings), defaults: defaultConfig() });

test.each<[string, Status, Parameters<typeof reloadCheck>[1], Check['state'], RegExp, RegExp]>([
	['as the file says', running({ sockopt: 'off' }), file({ sockopt: 'off' }), 'ok', /^loaded at /, /^$/],
	[
		'a file that was changed',
		running({}),
		file({ trust: ['10.0.0.0/8'], clients: { capacity: 5 } }),
		'warn',
		/was changed since/,
		/^kill -HUP 812 loads trust; a restart loads clients\.capacity$/,
	],
	[
		'keys that a reload has left as they were',
		running({}),
		file({ clients: { capacity: 5 } }),
		'warn',
		/^loaded at .*; the file has other values of clients\.capacity, which hold from a start on$/,
		/^a restart loads clients\.capacity$/,
	],
	[
		'a key that the environment of the daemon sets',
		running({ sockopt: 'off' }, {}),
		file({ sockopt: 'off', transparent: 'on' }),
		'warn',
		/was changed/,
		/loads transparent\.enabled$/,
	],
	['another file', running({}), { ...file({}), path: '/tmp/x.yaml' }, 'warn', /toascope\.yaml$/, /x\.yaml is not in/],
	['a file that this user cannot read', running({}), { ...file({}), config: undefined }, 'ok', /^loaded at /, /^$/],
	[
		'a reload that failed',
		running({}, { config_reload: { successful: false, success_at: 'T' } }),
		file({ sockopt: 'off' }),
		'warn',
		/^the last reload failed: what was loaded at T holds$/,
		/kill -HUP 812$/,
	],
])('what is loaded: %s', (_what, status, inFile, state, found, advice) => {
	const result = reloadCheck(status, inFile);
	expect(result).toMatchObject({ state, found: expect.stringMatching(found) });
	expect(result.advice ?? '').toMatch(advice);
});

test('keys that the environment of the daemon sets or decides are not the fault of the file', () => {
	const set = running({ sockopt: 'off', transparent: 'on' });
	const variables = ['TOASCOPE_SOCKOPT', 'TOASCOPE_TRANSPARENT'];
	expect(reloadCheck({ ...set, config: { ...set.config, variables } }, file({})).state).toBe('ok');
	expect(reloadCheck(set, file({})).state).toBe('warn');
	const decided = running({ otel: { spans: 'on', protocol: 'grpc' } });
	expect(reloadCheck(decided, file({})).state).toBe('ok');
	expect(reloadCheck(decided, file({ otel: { protocol: 'http/protobuf', spans: 'off' } })).state).toBe('ok');
});

test('a password in a URL is neither shown nor a difference', () => {
	const settings = { otel: { endpoint: 'http://me:secret@127.0.0.1:4318/' } };
	const shown = { ...values(settings), 'otel.endpoint': 'http://127.0.0.1:4318/' };
	const status = running(settings);
	expect(reloadCheck({ ...status, config: { ...status.config, values: shown } }, file(settings)).state).toBe('ok');
});

test('a daemon that does not answer is told from one that cannot be asked', async () => {
	const absent = await findDaemon([{ socket: '/nowhere/toascope.sock' }, { url: 'http://127.0.0.1:1' }]);
	expect(daemonCheck(absent, '1')).toMatchObject({ state: 'warn', found: 'none answers at /nowhere/toascope.sock' });
	expect(daemonCheck(await findDaemon([]), '1')).toMatchObject({
		state: 'warn',
		found: expect.stringContaining('cannot be asked'),
	});
});

test('a daemon is found where its socket is not, and what is no daemon is told', async () => {
	let body = JSON.stringify(statusOf({}));
	await using server = createServer((_request, response) => response.end(body)).listen(0, '127.0.0.1');
	await new Promise((resolve) => server.once('listening', resolve));
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	const places = [{ socket: '/nowhere/toascope.sock' }, { url }];
	expect(daemonCheck(await findDaemon(places), '0.1.0')).toMatchObject({
		state: 'ok',
		found: expect.stringMatching(/^runs \(pid 812, 0\.1\.0\)/),
	});
	expect(daemonCheck(await findDaemon(places), '0.2.0')).toMatchObject({ state: 'warn' });
	for (body of ['hello', 'null', '{"pid":1}', '{"pid":1,"config":{}}']) {
		expect(daemonCheck(await findDaemon(places), '0.1.0')).toMatchObject({
			state: 'warn',
			found: expect.stringMatching(/^http:.*: what answers there is not toascope/),
		});
	}
});

test('the report has the worst first, is aligned, ends in the verdict, and lets nothing steer the terminal', () => {
	const checks: Check[] = [
		{ name: 'a', title: 'A', state: 'ok', found: 'good', advice: 'for scripts' },
		{ name: 'feature.x', title: 'x programs', state: 'ok', found: 'yes' },
		{ name: 'feature.y', title: 'y programs', state: 'ok', found: 'refused (EPERM)', advice: 'for scripts' },
		{ name: 'c', title: 'C', state: 'warn', found: 'so so', advice: 'look' },
		{ name: 'b', title: 'Longer', state: 'fail', found: 'bad \u001b[2J', advice: 'mend it' },
	];
	expect(formatReport({ checks, running: false })).toBe(
		[
			'FAIL  Longer           bad ?[2J',
			'                       -> mend it',
			'WARN  C                so so',
			'                       -> look',
			'ok    A                good',
			'ok    Kernel features  all that are used but y programs, refused (EPERM)',
			'',
			'toascope cannot run here: 1 FAIL, 1 warning',
			'',
		].join('\n'),
	);
	expect(formatReport({ checks, running: true }, { colours: true })).toContain('\u001b[31mFAIL\u001b[39m');
	const last = (some: readonly Check[], runs: boolean) =>
		formatReport({ checks: some, running: runs }).trim().split('\n').at(-1);
	expect(last(checks, true)).toBe('toascope runs, and would not start again: 1 FAIL, 1 warning');
	expect(last(checks.slice(0, 4), true)).toBe('toascope runs, 1 warning');
	expect(last(checks.slice(0, 1), false)).toBe('toascope can run here');
});

test('on a terminal lines are as long as it is wide', () => {
	const words = 'word '.repeat(60).trim();
	const checks: Check[] = [
		{ name: 'a', title: 'Title', state: 'warn', found: words, advice: `${'x'.repeat(90)} ${words}` },
	];
	const lines = formatReport({ checks, running: true }, { columns: 80 }).split('\n');
	expect(lines.filter((line) => line.length > 80).map((line) => line.trim())).toEqual([`-> ${'x'.repeat(90)}`]);
	const [first = '', second = ''] = lines;
	expect(second.search(/\S/)).toBe(first.indexOf('word'));
	expect(lines.join(' ').match(/word/g)).toHaveLength(120);
});
