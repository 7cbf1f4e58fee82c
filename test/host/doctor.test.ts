// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope doctor` with a running daemon: its report, which daemon and which configuration it
 * examines, and what a user without privileges gets.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { native } from '../../native/binding.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { checkNamed, type DoctorReport, examine } from '../kit/daemon/doctor.ts';
import { asNobody, unusable } from '../kit/daemon/restricted_process.ts';
import { total } from '../kit/telemetry/metrics.ts';
import {
	connect,
	nat64Option,
	type OptionStage,
	onlyPortsOf,
	openOptionStage,
	trustPeers,
	untilCounted,
} from '../kit/wire/option_stage.ts';
import { WireStage } from '../kit/wire/wire_stage.ts';

let stage: OptionStage;
beforeAll(async () => {
	stage = await openOptionStage();
});
afterAll(() => stage?.[Symbol.asyncDispose]());

test('the text is short, has the worst findings first, and all findings of --json', async () => {
	await using daemon = await Daemon.start({ config: onlyPortsOf(stage) });
	const { checks } = await examine(daemon);
	const { code, out } = await toascope(['doctor', '--config', daemon.configFile]);
	const lines = out.trimEnd().split('\n');
	expect(code).toBe(0);
	expect(lines.length).toBeLessThanOrEqual(30);
	expect(lines.at(-1)).toMatch(/^toascope runs, \d+ warnings?$/);
	const marks = lines.map((line) => /^(FAIL|WARN|ok) /.exec(line)?.[1]).filter((mark) => mark !== undefined);
	expect(marks).toEqual(marks.toSorted((a, b) => 'FAIL WARN ok'.indexOf(a) - 'FAIL WARN ok'.indexOf(b)));
	const changing = /^no connection was opened in the last \d+ s$/;
	for (const { name, found } of checks) {
		if (!name.startsWith('feature.') && !changing.test(found)) expect(out).toContain(found);
	}
	expect(out).not.toContain('\u001b');
});

test('the configuration file is that of the daemon, however it was started', async () => {
	await using daemon = await Daemon.start({ config: onlyPortsOf(stage), env: { TOASCOPE_SOCKOPT: 'off' } });
	// no daemon is listening at the default socket: the environment names the one to ask
	const { out } = await toascope(['doctor', '--json'], { env: { TOASCOPE_HTTP_SOCKET: daemon.socket } });
	const report = JSON.parse(out) as DoctorReport;
	expect(checkNamed(report, 'configuration')).toMatchObject({ state: 'ok', found: daemon.configFile });
	expect(checkNamed(report, 'reload').state).toBe('ok');
	expect(checkNamed(report, 'getsockopt').found).toBe('off in the configuration (sockopt)');
	expect(checkNamed(report, 'scope').found).toContain(String(stage.listeners.plain.port));
});

test('a user without privileges gets the same findings', async ({ skip }) => {
	const by = asNobody();
	const reason = unusable(by);
	skip(reason !== undefined, reason);
	await using daemon = await Daemon.start({ config: [onlyPortsOf(stage), trustPeers].join('\n') });
	await connect(stage, nat64Option());
	await untilCounted(daemon, 1);
	// this user can read neither the file nor the socket
	chmodSync(daemon.configFile, 0o600);
	const listen = new URL(daemon.url).host;
	const env = { TOASCOPE_HTTP_SOCKET: daemon.socket, TOASCOPE_HTTP_LISTEN: listen };
	const { code, out } = await toascope(['doctor', '--json'], { by, env });
	const report = JSON.parse(out) as DoctorReport;
	expect({ code, ...report, checks: [] }).toMatchObject({ code: 0, running: true, can_run: true });
	expect(checkNamed(report, 'toa').found).toMatch(/^1 of 1 /);
	expect(checkNamed(report, 'privileges')).toMatchObject({
		state: 'ok',
		found: expect.stringMatching(/lacks CAP_BPF/),
	});
	expect(checkNamed(report, 'configuration').found).toBe(`${daemon.configFile} (not readable by this user)`);
	const features = report.checks.filter(({ name }) => name.startsWith('feature.'));
	const names = features.map(({ name }) => name.replace('feature.', ''));
	expect(names.toSorted()).toEqual(Object.keys(native().probe().features).toSorted());
});

test('a missing file would prevent the daemon from starting again: exit code 2', async () => {
	await using daemon = await Daemon.start({ config: onlyPortsOf(stage) });
	rmSync(daemon.configFile);
	const env = { TOASCOPE_HTTP_SOCKET: daemon.socket };
	const { code, out } = await toascope(['doctor'], { env });
	expect(code).toBe(2);
	expect(out).toMatch(/^FAIL {2}Configuration .*no such file or directory$/m);
	expect(out).toMatch(/\ntoascope runs, but would not start again: 1 FAIL/);
});

// since Linux 6.8 each network namespace has a limit of its own
test.skipIf(spawnSync('unshare', ['--net', 'test', '-e', '/proc/sys/net/core/optmem_max']).status !== 0)(
	'net.core.optmem_max too small in a network namespace: the doctor says why connections are not recorded',
	async () => {
		await using poor = await WireStage.open(
			{ plain: ['4'] },
			{ sysctls: { 'core/optmem_max': '300' }, config: ['connections: {max: 1}'] },
		);
		// the first connection fills the table, and the socket of the second has no memory for its
		// state
		const both = [
			await poor.connection('plain').open(nat64Option()),
			await poor.connection('plain').open(nat64Option()),
		];
		for (const one of both) one.reset();
		await poor.wire.handled();
		await poor.daemon.until(
			(samples) => total(samples, 'toascope_drops_total', { reason: 'socket_storage' }) > 0n || undefined,
		);
		const { state, advice } = checkNamed(await examine(poor.daemon), 'drops');
		expect(state).toBe('warn');
		expect(advice).toMatch(/^net\.core\.optmem_max is 300 in \/\S+: .* sysctl -w net\.core\.optmem_max=131072/);
	},
);
