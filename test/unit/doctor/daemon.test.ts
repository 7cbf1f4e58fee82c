// SPDX-License-Identifier: Apache-2.0
/**
 * The doctor's findings on a running daemon: whether it answers, and whether it has loaded the
 * current configuration file.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { findDaemon, type Status } from '../../../daemon/client/status.ts';
import { defaultConfig } from '../../../daemon/config/load.ts';
import type { Check } from '../../../daemon/doctor/check.ts';
import { daemonCheck, reloadCheck } from '../../../daemon/doctor/daemon.ts';
import { logAdvice } from '../../../daemon/doctor/log_advice.ts';
import { config, values } from '../../kit/model/checks.ts';
import { statusOf } from '../../kit/model/status.ts';

const path = '/etc/toascope/toascope.yaml';
const running = (settings: object, more: Partial<Status> = {}): Status => ({
	...statusOf({}),
	config: { file: path, variables: [], values: values(settings) },
	...more,
});
const file = (settings: object) => ({ path, config: config(settings), defaults: defaultConfig() });

test.each<[string, Status, Parameters<typeof reloadCheck>[1], Check['state'], RegExp, RegExp]>([
	['the same as the file', running({ sockopt: 'off' }), file({ sockopt: 'off' }), 'ok', /^loaded at /, /^$/],
	[
		'a file that was changed',
		running({}),
		file({ trust: ['10.0.0.0/8'], clients: { capacity: 5 } }),
		'warn',
		/was changed since/,
		/^kill -HUP 812 loads trust; a restart loads clients\.capacity$/,
	],
	[
		'keys that a reload has left unchanged',
		running({}),
		file({ clients: { capacity: 5 } }),
		'warn',
		/^loaded at .*; the file has other values of clients\.capacity, which take effect at a restart$/,
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
		running({}, { config_reload: { successful: false, success_at: 'T', attempts: 1, error: null, restart_keys: [] } }),
		file({ sockopt: 'off' }),
		'warn',
		/^the last reload failed: what was loaded at T is still in force$/,
		/kill -HUP 812$/,
	],
])('what is loaded: %s', (_what, status, inFile, state, found, advice) => {
	const result = reloadCheck(status, inFile);
	expect(result).toMatchObject({ state, found: expect.stringMatching(found) });
	expect(result.advice ?? '').toMatch(advice);
});

test("keys that the daemon's environment sets are not reported as differences of the file", () => {
	const set = running({ sockopt: 'off', transparent: 'on' });
	const variables = ['TOASCOPE_SOCKOPT', 'TOASCOPE_TRANSPARENT'];
	expect(reloadCheck({ ...set, config: { ...set.config, variables } }, file({})).state).toBe('ok');
	expect(reloadCheck(set, file({})).state).toBe('warn');
	const decided = running({ otel: { spans: 'on', metrics: 'on' } });
	expect(reloadCheck(decided, file({})).state).toBe('ok');
	expect(reloadCheck(decided, file({ otel: { metrics: 'off', spans: 'off' } })).state).toBe('ok');
});

test('a password in a URL is neither shown nor reported as a difference', () => {
	const settings = { otel: { endpoint: 'http://me:secret@127.0.0.1:4318/' } };
	const shown = { ...values(settings), 'otel.endpoint': 'http://127.0.0.1:4318/' };
	const status = running(settings);
	expect(reloadCheck({ ...status, config: { ...status.config, values: shown } }, file(settings)).state).toBe('ok');
});

test('a daemon that does not answer is distinguished from one that cannot be queried', async () => {
	const absent = await findDaemon([{ socket: '/nowhere/toascope.sock' }, { url: 'http://127.0.0.1:1' }]);
	expect(daemonCheck(absent, '1')).toMatchObject({
		state: 'warn',
		found: 'no daemon is listening at /nowhere/toascope.sock',
	});
	expect(daemonCheck(await findDaemon([]), '1')).toMatchObject({
		state: 'warn',
		found: expect.stringContaining('cannot be queried'),
	});
});

test('a daemon that is not ready is a warning that says why', () => {
	const reasons = [
		{ reason: 'snapshot_stale', text: 'no collection of the counters has succeeded since noon' },
		{ reason: 'http_listen', text: 'an address is awaited' },
	];
	const found = { address: { url: 'http://127.0.0.1:1' }, status: running({}, { not_ready: reasons }) };
	expect(daemonCheck(found, found.status.version)).toMatchObject({
		state: 'warn',
		found: expect.stringMatching(/ is not ready: no collection .* since noon; an address is awaited$/),
	});
	const ready = { ...found, status: running({}, { not_ready: [] }) };
	expect(daemonCheck(ready, ready.status.version)).toMatchObject({ state: 'ok' });
});

test('a daemon is found without its socket, and a server that is not toascope is reported', async () => {
	let body = JSON.stringify(statusOf({}));
	await using server = createServer((_request, response) => response.end(body)).listen(0, '127.0.0.1');
	await new Promise((resolve) => server.once('listening', resolve));
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	const addresses = [{ socket: '/nowhere/toascope.sock' }, { url }];
	expect(daemonCheck(await findDaemon(addresses), '0.1.0')).toMatchObject({
		state: 'ok',
		found: expect.stringMatching(/^runs \(pid 812, 0\.1\.0\)/),
	});
	expect(daemonCheck(await findDaemon(addresses), '0.2.0')).toMatchObject({ state: 'warn' });
	for (body of ['hello', 'null', '{"pid":1}', '{"pid":1,"config":{}}']) {
		expect(daemonCheck(await findDaemon(addresses), '0.1.0')).toMatchObject({
			state: 'warn',
			found: expect.stringMatching(/^http:.*: the server there is not toascope/),
		});
	}
});

test('the advice names where the log is: the unit that the daemon runs in, otherwise standard error', () => {
	const adviceIn = (cgroup: string | undefined) => logAdvice(812, () => cgroup);
	expect(adviceIn('0::/system.slice/toascope.service\n')).toBe('see its log: journalctl -u toascope');
	expect(adviceIn('1:name=systemd:/\n0::/system.slice/toascope@b.service\n')).toMatch(/ -u toascope@b$/);
	for (const cgroup of ['0::/user.slice/user-0.slice/session-1.scope\n', '0::/system.slice/ssh.service\n', undefined]) {
		expect(adviceIn(cgroup)).toBe('see its log (standard error)');
	}
	const waiting = [{ reason: 'collection_old', text: 'the counters are old' }];
	const here = { address: { socket: '/s' }, status: { ...running({}), pid: process.pid, not_ready: waiting } };
	expect(daemonCheck(here, '0.1.0').advice).toBe('see its log (standard error)');
});

test('without a file no change is reported, whatever the daemon was started with', () => {
	const { config: settings, ...demo } = running({ trust: ['127.100.0.0/28'], bpf: { pin: 'off' } });
	const status = { ...demo, config: { ...settings, file: null } };
	const none = { path: undefined, config: defaultConfig(), defaults: defaultConfig() };
	expect(reloadCheck(status, none)).toMatchObject({ state: 'ok', found: expect.stringMatching(/, without a file$/) });
});
