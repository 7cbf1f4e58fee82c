// SPDX-License-Identifier: Apache-2.0
/** Differences between configurations: in a reload, in `config check`, in the shipped example. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkConfig } from '../../../daemon/cli/config.ts';
import { changedRestartKeys, fileValues } from '../../../daemon/config/config.ts';
import { defaultConfig } from '../../../daemon/config/load.ts';
import { keys } from '../../../daemon/config/schema.ts';
import { reloaded, shownChanges } from '../../../daemon/service/reload.ts';
import { differences, folder, load, setupPerTest } from '../../kit/daemon/config_file.ts';

setupPerTest();

describe('reload', () => {
	it('has a value for every key', () => {
		expect(Object.keys(fileValues(defaultConfig()))).toEqual(keys.map(({ path }) => path));
	});

	it('lists what changed: short values before and after, only the key of a long value', () => {
		const before = load('trust: [192.0.2.0/24]\n');
		const trust = Array.from({ length: 20 }, (_, at) => `198.51.100.${at}/32`).join(', ');
		const after = load(`clients: {max_exported: 500}\nlog: {level: debug}\ntransparent: on\ntrust: [${trust}]\n`);
		expect(shownChanges(before, before)).toEqual([]);
		expect(shownChanges(before, after)).toEqual([
			'trust',
			'transparent.enabled: off -> on',
			'clients.max_exported: 1000 -> 500',
			'log.level: info -> debug',
		]);
		expect(shownChanges(before, load('cgroup: /sys/fs/cgroup/a\ntrust: [192.0.2.0/24]\n'))).toEqual([
			'cgroup: not set -> /sys/fs/cgroup/a',
		]);
	});

	it('does not show a password', () => {
		const after = load('otel: {endpoint: "http://user:secret@collector:4318"}\n');
		const [first, ...more] = shownChanges(load(''), after);
		expect([first, more]).toEqual([expect.stringMatching(/^otel\.endpoint/), expect.any(Array)]);
		expect([first, ...more].join()).not.toContain('secret');
	});

	it('applies the keys that it can, and keeps those that need a restart as they were', () => {
		const before = load('');
		const next = load(
			[
				'provider: bpf',
				'on_exit: detach',
				'cgroup: /sys/fs/cgroup/a',
				'trust: [192.0.2.0/24]',
				'profiles: [toa6]',
				'transparent: on',
				'sockopt: {ipv4: refuse}',
				'listeners: {ports: [80], netns: host, max: 99}',
				'clients: {capacity: 999, max_exported: 9, idle: 9 s, prefix4: 24, prefix6: 64}',
				'connections: {max: 9999, retain: 99 s}',
				'log: {level: debug, format: json}',
				'http: {listen: off}',
				'bpf: {pin: off}',
				'',
			].join('\n'),
		);
		const fixed = changedRestartKeys(before, next);
		expect(fixed.length).toBeGreaterThan(5);
		const inForce = reloaded(before, next);
		expect(changedRestartKeys(before, inForce)).toEqual([]);
		// and nothing else is left to apply
		expect(changedRestartKeys(inForce, next)).toEqual(fixed);
		expect(shownChanges(inForce, next)).toHaveLength(fixed.length);
	});

	it('knows which keys need a restart', () => {
		const reloadable = keys.filter((key) => key.reloadable).map(({ path }) => path);
		expect(reloadable).toEqual([
			'trust',
			'balancer',
			'profiles',
			'transparent.enabled',
			'transparent.ports',
			'sockopt.enabled',
			'sockopt.ipv4',
			'listeners.ports',
			'listeners.netns',
			'listeners.label',
			'clients.prefix4',
			'clients.prefix6',
			'clients.per_prefix.enabled',
			'clients.per_prefix.prefix4',
			'clients.per_prefix.prefix6',
			'clients.per_prefix.max',
			'clients.max_exported',
			'clients.idle',
			'connections.retain',
			'otel.sampling.ratio',
			'otel.sampling.listeners',
			'otel.sampling.retransmits',
			'otel.sampling.accept_wait',
			'log.level',
		]);
		const from = load('');
		const to = load(
			'log: {level: warn, format: json}\nclients: {capacity: 10, idle: 1 h}\nhttp: {socket: off}\ntrust: [10.0.0.0/8]',
		);
		expect(changedRestartKeys(from, to)).toEqual(['clients.capacity', 'http.socket', 'log.format']);
		expect(changedRestartKeys(to, to)).toEqual([]);
	});
});

describe('config check', () => {
	function check(text: string, json = false) {
		const file = join(folder, 'c.yaml');
		writeFileSync(file, text);
		let output = '';
		const exit = checkConfig(file, { json, write: (part) => (output += part) });
		return { exit, output: output.replaceAll(`${folder}/`, '') };
	}

	it('prints ok and what differs from the defaults', () => {
		expect(check('clients: {max_exported: 5}\ntrust: [10.0.0.0/8]\ncgroup: /x')).toEqual({
			exit: 0,
			output:
				'c.yaml: ok\n  cgroup: /x (default: the root of the cgroup v2 mount)\n  trust: ["10.0.0.0/8"] (default: [])\n  clients.max_exported: 5 (default: 1000)\n',
		});
		expect(JSON.parse(check('sockopt: off', true).output)).toEqual({
			file: 'c.yaml',
			ok: true,
			differences: [{ key: 'sockopt.enabled', value: 'off', default: 'on' }],
		});
	});

	it('prints one line for each problem', () => {
		expect(check('sockopt: perhaps\nlog: {level: loud}')).toEqual({
			exit: 2,
			output:
				'c.yaml:1:10: sockopt must be on or off, or a map with the keys enabled, ipv4 (found: "perhaps")\n' +
				'c.yaml:2:14: log.level must be trace, debug, info, warn or error (found: "loud")\n',
		});
		expect(JSON.parse(check('sockopt: perhaps', true).output)).toMatchObject({
			ok: false,
			code: 'CONFIG_INVALID',
			problems: [
				{
					at: 'c.yaml:1:10',
					key: 'sockopt',
					message: 'sockopt must be on or off, or a map with the keys enabled, ipv4 (found: "perhaps")',
				},
			],
		});
	});

	it('reports that a file is missing', () => {
		let output = '';
		const write = (part: string) => (output += part);
		expect(() => checkConfig(join(folder, 'none'), { json: false, write })).toThrow(
			expect.objectContaining({
				code: 'CONFIG_UNREADABLE',
				exitCode: 3,
				message: `${folder}/none: no such file or directory`,
			}),
		);
		expect(output).toBe('');
		expect(checkConfig(join(folder, 'none'), { json: true, write })).toBe(3);
		expect(JSON.parse(output)).toMatchObject({ ok: false, code: 'CONFIG_UNREADABLE', problems: [] });
	});
});

describe('deploy/toascope.yaml', () => {
	const example = readFileSync(new URL('../../../deploy/toascope.yaml', import.meta.url), 'utf8');

	it('changes nothing as it is shipped', () => {
		expect(differences(example)).toEqual({});
	});

	it('shows every key, with its default where it has one', () => {
		// a commented-out key has its # directly before it or before its two spaces of indentation
		const text = example.replace(/^#(?=\S| {2})/gm, '');
		const otel = ['endpoint', 'protocol', 'headers_file', 'metrics', 'spans'];
		expect(Object.keys(differences(text))).toEqual(['cgroup', 'balancer', ...otel.map((name) => `otel.${name}`)]);
		for (const { path } of keys) expect(text).toMatch(new RegExp(`^ *${path.split('.').at(-1)}:`, 'm'));
	});
});
