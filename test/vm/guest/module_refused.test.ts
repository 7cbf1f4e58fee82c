// SPDX-License-Identifier: Apache-2.0
/**
 * A kernel that accepts only signed modules (module.sig_enforce=1, or lockdown): the errors, and
 * `auto` uses `bpf`.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Check } from '../../../daemon/doctor/check.ts';
import { network } from '../../../daemon/lab/lab.ts';
import { buildDirectory } from '../../../daemon/module/build.ts';
import { readPolicy } from '../../../daemon/module/policy.ts';
import { copySources } from '../../../daemon/module/sources.ts';
import { toascope } from '../../kit/daemon/command.ts';
import { Daemon } from '../../kit/daemon/daemon.ts';
import { metricsAtRest } from '../../kit/daemon/expected_traffic.ts';
import { noConfig } from '../../kit/kernel/module.ts';
import { moduleFile } from '../../kit/kernel/module_file.ts';
import { total } from '../../kit/telemetry/metrics.ts';
import { Stage, somePorts } from '../../kit/wire/toa_stage.ts';

const policy = readPolicy();
const enforced = policy.signedOnly || (policy.lockdown ?? 'none') !== 'none';
const expectedHint = / {2}sign it with a key.* or set provider to bpf/;

/** `toascope run` with `provider: module`, to its end. */
async function runWithModule() {
	const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	const file = join(directory, 'toascope.yaml');
	writeFileSync(file, 'provider: module\nbpf: {pin: off}\nhttp: {listen: "127.0.0.1:0", socket: off}\n');
	const ended = await toascope(['run', '--config', file]);
	rmSync(directory, { recursive: true });
	return ended;
}

describe.runIf(enforced)('a kernel that accepts only signed modules', () => {
	it('the module is refused, with a way out', async () => {
		const { code, err } = await toascope(['module', 'load', moduleFile(), ...noConfig]);
		expect(code).toBe(3);
		expect(err).toMatch(
			/the kernel accepts only signed modules \(.*\), and .*toa\.ko is not signed \[MODULE_UNSIGNED\]/,
		);
		expect(err).toMatch(expectedHint);
		expect(readFileSync('/proc/modules', 'utf8')).not.toMatch(/^toa /m);
	});

	it('provider: module ends with exit code 3, and builds nothing that would be refused', async () => {
		const { code, err } = await runWithModule();
		expect(code).toBe(3);
		expect(err).toMatch(/the kernel accepts only signed modules \(.*\), and none is available.* \[MODULE_UNSIGNED\]/);
		expect(err).toMatch(expectedHint);
	});

	it('one that was built before is tried, and the error contains the message of the kernel', async () => {
		const directory = buildDirectory(release());
		copySources(directory);
		copyFileSync(moduleFile(), join(directory, 'toa.ko'));
		const { code, err } = await runWithModule();
		rmSync(directory, { recursive: true });
		expect(code).toBe(3);
		expect(err).toMatch(/\/toa\.ko is not signed \[MODULE_UNSIGNED\]/);
		expect(err).toMatch(expectedHint);
		// kernel/module/signing.c, security/lockdown
		expect(err).toMatch(/Loading of unsigned module is rejected|Lockdown: .*unsigned module loading is restricted/);
		expect(readFileSync('/proc/modules', 'utf8')).not.toMatch(/^toa /m);
	});

	it('auto uses bpf: applications get the client, and connections are counted', async () => {
		const port = somePorts(2);
		await using stage = await Stage.open(port);
		await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}` });
		expect(await daemon.logged(/^attached/)).toMatchObject({ provider: 'bpf' });
		{
			await using connection = await stage.connect('AF_INET', 'nat64');
			const { result, bytes } = await connection.probe.getsockopt(0, 4096, 20);
			expect({ result, port: bytes.readUInt16BE(16) }).toEqual({ result: 0, port: connection.client.port });
		}
		const listener = `${network.server}:${port}`;
		const samples = await metricsAtRest(daemon, listener, 1);
		expect(total(samples, 'toascope_handshakes_total', { listener, result: 'toa' })).toBe(1n);
		expect(total(samples, 'toascope_connections_closed_total', { listener })).toBe(1n);
		expect(total(samples, 'toascope_provider_info', { provider: 'bpf' })).toBe(1n);
	});

	it('the doctor says which provider is used, and why not the other one', async () => {
		const { out } = await toascope(['doctor', '--json', ...noConfig]);
		const { checks } = JSON.parse(out) as { checks: Check[] };
		const of = (name: string) => checks.find((check) => check.name === name);
		expect(of('provider')).toMatchObject({ state: 'ok', found: 'bpf (auto: it works here)' });
		expect(of('module')).toMatchObject({ found: 'not loaded; this kernel accepts only signed modules' });
		expect(of('lockdown')?.found).toMatch(policy.lockdown ?? 'not reported');
	});
});
