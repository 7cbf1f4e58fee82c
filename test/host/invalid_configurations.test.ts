// SPDX-License-Identifier: Apache-2.0
/**
 * Configurations that cannot work: one line says what is wrong, one says what to do, and nothing is
 * changed.
 */
import { chmodSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../daemon/errors.ts';
import { toascope } from '../kit/daemon/command.ts';
import {
	bpffs,
	cgroup,
	configuration,
	expectNothingLeft,
	expectRefusal,
	expectStartWithoutHttp,
	pins,
	root,
	run,
} from '../kit/daemon/refused_start.ts';
import { asNobody, unusable } from '../kit/daemon/restricted_process.ts';

expectNothingLeft();

describe('the configuration', () => {
	test.each<[string, string, ErrorCode, string]>([
		['is missing', '/nowhere/toascope.yaml', 'CONFIG_UNREADABLE', 'no such file or directory'],
		['is a directory', '/proc', 'CONFIG_UNREADABLE', 'is a directory'],
		['is below a file', '/etc/passwd/toascope.yaml', 'CONFIG_UNREADABLE', 'a path component is not a directory'],
	])('%s', async (_what, file, code, message) => {
		const ended = await toascope(['run', '--config', file]);
		expectRefusal(ended, code, `${file}: ${message}`, /./);
	});

	test('cannot be read by this user', async ({ skip }) => {
		const reason = unusable(asNobody());
		skip(reason !== undefined, reason);
		const file = configuration();
		chmodSync(file, 0o600);
		const ended = await toascope(['run', '--config', file], { by: asNobody() });
		expectRefusal(ended, 'CONFIG_UNREADABLE', `${file}: permission denied`, 'this user can read');
	});

	test.each([
		['never ends', '/dev/zero', 'the file is larger than 1 MiB'],
		['is not text', process.execPath, 'the file is larger than 1 MiB'],
	])('%s', async (_what, file, message) => {
		const { code, out, err } = await toascope(['run', '--config', file]);
		expect({ code, out, err }).toEqual({ code: 2, out: '', err: `toascope: ${file}: ${message} [CONFIG_INVALID]\n` });
	});

	test.each<[string, string, RegExp]>([
		['an unknown key', 'trusts: []', /:1:1: unknown key "trusts"; did you mean "trust"\? /],
		['invalid YAML', 'trust: }', /:1:\d+: invalid YAML: /],
		[
			'a network with host bits',
			'trust: [10.0.0.1/8]',
			/trust\[0\] must have no bits set .*\(found: "10\.0\.0\.1\/8"\)/,
		],
		[
			'two profiles of one kind and length',
			'profiles: [nat64, {name: x, kind: 253, length: 20, family: ipv6, address_at: 4}]',
			/must not have two profiles of kind 253 and length 20: nat64 and x /,
		],
		[
			'a profile of more than 40 bytes',
			'profiles: [{name: x, kind: 99, length: 41, family: ipv6, address_at: 4}]',
			/length must be a whole number from 6 to 40 \(found: 41\)/,
		],
		[
			'an address that is not ADDR:PORT',
			'http: {listen: localhost}',
			/http\.listen must be ADDR:PORT such as .*\(found: "localhost"\)/,
		],
	])('has %s', async (_what, line, message) => {
		const { code, out, err } = await run([line]);
		expect(err).toMatch(message);
		expect(err).toMatch(/^toascope: [^\n]+ \[CONFIG_INVALID\]\n$/);
		expect({ code, out }).toEqual({ code: 2, out: '' });
	});

	test('has several mistakes: each has its own line', async () => {
		const { code, err } = await run(['trusts: []', 'sockopt: maybe']);
		expect(code).toBe(2);
		expect(err.split('\n')).toHaveLength(3);
	});

	test.each<[string, string, ErrorCode, string]>([
		['below a file', '/etc/passwd/toascope.sock', 'CONFIG_INVALID', 'a file of that name exists'],
		['where no directory can be made', '/proc/toascope/toascope.sock', 'CONFIG_INVALID', 'no such file or directory'],
		['where no socket can be made', `${bpffs}/toascope`, 'NO_PRIVILEGE', 'not permitted'],
		['at the path of a directory', '/tmp', 'ADDRESS_IN_USE', 'is not a socket'],
	])('has a socket %s', async (_what, socket, code, message) => {
		for (const bpf of ['bpf: {pin: off}', `bpf: {pin: ${pins}}`]) {
			await expectStartWithoutHttp(
				[`http: {listen: off, socket: ${socket}}`, bpf],
				[],
				code,
				message,
				'set http.socket',
			);
		}
	});

	test('has a cgroup that is a file', async () => {
		const ended = await run([`cgroup: ${cgroup}/cgroup.procs`]);
		expectRefusal(ended, 'CONFIG_INVALID', 'is not a cgroup v2 directory', `name one below ${root}`);
	});

	test.each([
		['a path below a file', `${cgroup}/cgroup.procs/pins`, 'is not on a bpffs'],
		['a name with a dot, which bpffs refuses', `${pins}/a.b/c`, 'not permitted'],
	])('has pins at %s', async (_what, pin, message) => {
		expectRefusal(await run([`bpf: {pin: ${pin}}`]), 'NO_BPFFS', message, 'set bpf.pin to a directory');
	});
});
