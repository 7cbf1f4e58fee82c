// SPDX-License-Identifier: Apache-2.0
/** The doctor's findings, host by host and traffic by traffic; what this very host says is tested in test/host. */
import { expect, test } from 'vitest';
import { parseMounts } from '../../daemon/capture/mounts.ts';
import type { Features } from '../../daemon/capture/native.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import type { Check } from '../../daemon/doctor/check.ts';
import { configurationChecks } from '../../daemon/doctor/configuration.ts';
import { daemonChecks } from '../../daemon/doctor/daemon.ts';
import { choiceChecks, featureChecks } from '../../daemon/doctor/features.ts';
import { type Host, hostChecks } from '../../daemon/doctor/host.ts';
import { formatReport } from '../../daemon/doctor/report.ts';
import { arrivalChecks, readCounts } from '../../daemon/doctor/traffic.ts';

const config = (settings: object = {}) => toConfig(fileSchema.parse(settings), {});
const mounts = (...lines: string[]) => parseMounts(lines.join('\n'));
const cgroup2 = '32 25 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw';
const bpffs = '33 25 0:28 / /sys/fs/bpf rw,nosuid shared:10 - bpf bpf rw,mode=700';

const goodHost: Host = {
	kernel: '6.1.0-18-amd64',
	machine: 'x64',
	hasBtf: true,
	status: 'Name:\tnode\nCapEff:\t000001ffffffffff\n',
	mounts: mounts(cgroup2, bpffs),
	lockdown: '[none] integrity confidentiality',
	jit: '1',
	exists: () => true,
};

function named(checks: readonly Check[], name: string): Check {
	const found = checks.find((each) => each.name === name);
	if (found === undefined) throw new Error(`no check ${name}`);
	return found;
}

const states = (checks: readonly Check[]) => Object.fromEntries(checks.map(({ name, state }) => [name, state]));

test('a good host has nothing to mend', () => {
	expect(states(hostChecks(goodHost, config()))).toEqual({
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
	['cgroup', 'a cgroup of its own', {}, { cgroup: '/sys/fs/cgroup/a.slice' }, 'ok', /a\.slice/],
	['bpffs', 'no bpffs where it can be mounted', { mounts: mounts(cgroup2) }, {}, 'warn', /not mounted at/],
	['bpffs', 'pins elsewhere', {}, { bpf: { pin: '/var/pins' } }, 'fail', /not on a bpffs/],
	['bpffs', 'a read-only bpffs', { mounts: mounts(cgroup2, bpffs.replace(' rw,', ' ro,')) }, {}, 'fail', /read-only/],
	['bpffs', 'no pins wanted', { mounts: mounts(cgroup2) }, { bpf: { pin: 'off' } }, 'ok', /not used/],
	['lockdown', 'lockdown', { lockdown: 'none integrity [confidentiality]' }, {}, 'ok', /^confidentiality$/],
	['jit', 'an interpreter', { jit: '0' }, {}, 'warn', /interpreted/],
	['jit', 'no JIT switch to read', { jit: undefined }, {}, 'ok', /not told/],
])('%s: %s', (name, _what, host, settings, state, found) => {
	const result = named(hostChecks({ ...goodHost, ...host }, config(settings)), name);
	expect(result).toMatchObject({ state, found: expect.stringMatching(found) });
	if (state !== 'ok') expect(result.advice).toMatch(/./);
});

const allFeatures: Features = {
	sockops: '',
	getsockopt: '',
	getpeername: '',
	ringbuf: '',
	socketStorage: '',
	setError: '',
	taskRegisters: '',
	fexit: '',
	memoryAccounting: '',
};
const tried = (refused: Partial<Features> = {}, refusal?: string) => ({
	probed: { features: { ...allFeatures, ...refused }, innerAccept: true },
	refusal,
});

test('each refused feature has its errno and what follows', () => {
	for (const name of Object.keys(allFeatures)) {
		const result = named(featureChecks(tried({ [name]: 'EPERM' })), `feature.${name}`);
		expect(result.state, name).not.toBe('ok');
		expect(result.found).toBe('refused (EPERM)');
		expect(result.advice, name).toMatch(/./);
	}
	expect(featureChecks(tried()).every(({ state }) => state === 'ok')).toBe(true);
});

test("the kernel's refusal of the programs is a FAIL with its words", () => {
	const result = named(featureChecks(tried({}, 'load toascope_sockops: Invalid argument (EINVAL)')), 'programs');
	expect(result).toMatchObject({ state: 'fail', found: expect.stringContaining('toascope_sockops') });
});

test('provider and accept program follow from what works', () => {
	expect(states(choiceChecks(tried(), config(), true))).toEqual({
		provider: 'ok',
		accept_program: 'ok',
		getsockopt: 'ok',
		transparent: 'ok',
	});
	expect(named(choiceChecks(tried({ fexit: 'EPERM' }), config(), true), 'accept_program').found).toMatch(
		/^getpeername/,
	);
	expect(states(choiceChecks(tried(), config({ provider: 'module' }), true))).toEqual({ provider: 'fail' });
	expect(states(choiceChecks(undefined, config(), false))).toEqual({ provider: 'fail' });
	expect(named(choiceChecks(tried({ setError: 'EINVAL' }), config(), true), 'getsockopt').found).toMatch(/ENOPROTOOPT/);
	expect(named(choiceChecks(tried(), config({ sockopt: false }), true), 'getsockopt').found).toMatch(/off/);
	expect(
		named(choiceChecks(tried(), config({ transparent: { enabled: true, ports: [80] } }), true), 'transparent').found,
	).toMatch(/^on for some/);
});

test('an empty trust is a warning, a wrong file a FAIL that says how much is wrong', () => {
	expect(named(configurationChecks(config(), undefined, undefined), 'trust').state).toBe('warn');
	expect(named(configurationChecks(config({ trust: ['10.0.0.0/8'] }), '/f', undefined), 'trust')).toMatchObject({
		state: 'ok',
		found: '10.0.0.0/8',
	});
	expect(named(configurationChecks(config(), '/f', new Error('one\ntwo\nthree')), 'configuration')).toMatchObject({
		state: 'fail',
		found: 'one (and 2 more)',
	});
});

const since = '2026-01-01T00:00:00.000Z';
function traffic(handshakes: Readonly<Record<string, number>>, drops: Readonly<Record<string, number>> = {}): Check[] {
	const opened = Object.values(handshakes).reduce((sum, count) => sum + count, 0);
	const text = [
		'# TYPE toascope_handshakes_total counter',
		...Object.entries(handshakes).flatMap(([result, count]) => [
			`toascope_handshakes_total{listener="10.0.0.1:80",result="${result}"} ${count}`,
			`toascope_handshakes_total{listener="[::1]:80",result="${result}"} 0`,
		]),
		`toascope_connections_opened_total{listener="10.0.0.1:80"} ${opened}`,
		...Object.entries(drops).map(([reason, count]) => `toascope_drops_total{reason="${reason}"} ${count}`),
	].join('\n');
	return arrivalChecks(readCounts(text), since, ['nat64', 'toa6']);
}

test.each<[string, Readonly<Record<string, number>>, Check['state'], RegExp, RegExp]>([
	['nothing happened', {}, 'warn', /no connection was opened since 2026/, /listeners\.ports/],
	['TOA for all', { toa: 7 }, 'ok', /^7 of 7/, /^$/],
	['TOA for some', { toa: 1, none: 9 }, 'ok', /^1 of 10/, /^$/],
	[
		'direct traffic, or another kind',
		{ none: 12 },
		'warn',
		/^0 of 12/,
		/no option of nat64, toa6 was seen.*another kind/,
	],
	['only untrusted senders', { untrusted: 3, none: 1 }, 'warn', /^0 of 4/, /outside of trust/],
	['only malformed lists', { malformed: 3, none: 1 }, 'warn', /^0 of 4/, /broken/],
])('whether TOA arrives: %s', (_what, handshakes, state, found, advice) => {
	const result = named(traffic(handshakes), 'toa');
	expect(result).toMatchObject({ state, found: expect.stringMatching(found) });
	expect(result.advice ?? '').toMatch(advice);
});

test('what is wrong beside good traffic has a line of its own', () => {
	const checks = traffic({ toa: 100, untrusted: 2, malformed: 3, conflict: 4 }, { ring_full: 5, clients_full: 0 });
	expect(named(checks, 'toa').found).toBe('104 of 109 connections have their client');
	expect(named(checks, 'untrusted').found).toMatch(/^2 /);
	expect(named(checks, 'malformed').found).toMatch(/^3 /);
	expect(named(checks, 'conflict').found).toMatch(/^4 /);
	expect(named(checks, 'drops')).toMatchObject({ state: 'warn', found: 'ring_full 5' });
	expect(named(traffic({ toa: 1 }), 'drops').state).toBe('ok');
});

test('a daemon that does not answer is told from one that cannot be asked', async () => {
	const [absent] = await daemonChecks(config({ http: { listen: 'off', socket: '/nowhere/toascope.sock' } }), '1');
	expect(absent).toMatchObject({ name: 'daemon', state: 'warn', found: 'none answers at /nowhere/toascope.sock' });
	const [off] = await daemonChecks(config({ http: { listen: 'off', socket: 'off' } }), '1');
	expect(off).toMatchObject({ name: 'daemon', state: 'warn', found: expect.stringContaining('cannot be asked') });
});

test('the report is aligned, ends in the verdict, and lets nothing steer the terminal', () => {
	const checks: Check[] = [
		{ name: 'a', title: 'A', state: 'ok', found: 'good' },
		{ name: 'b', title: 'Longer', state: 'fail', found: 'bad \u001b[2J', advice: 'mend it' },
		{ name: 'c', title: 'C', state: 'warn', found: 'so so' },
	];
	expect(formatReport(checks, false)).toBe(
		[
			'ok    A       good',
			'FAIL  Longer  bad ?[2J',
			'              -> mend it',
			'WARN  C       so so',
			'',
			'toascope cannot run here: 1 FAIL, 1 warning',
			'',
		].join('\n'),
	);
	expect(formatReport(checks, true)).toContain('\u001b[31mFAIL\u001b[39m');
	expect(formatReport(checks.slice(0, 1), false)).toMatch(/\ntoascope can run here\n$/);
});
