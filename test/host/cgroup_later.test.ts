// SPDX-License-Identifier: Apache-2.0
/**
 * A cgroup that is created after the daemon has started, as systemd does for a service: the daemon
 * waits for it, and attaches to it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { readiness } from '../kit/daemon/readiness.ts';
import { attachedAt } from '../kit/kernel/bpf_objects.ts';
import { Cgroups } from '../kit/kernel/cgroup.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { Probe } from '../kit/wire/probe.ts';
import { clientAddress, somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const listenPort = 10_001;
const listener = `${network.server}:${port}`;
let cgroups: Cgroups;
beforeEach(() => {
	cgroups = Cgroups.open();
});
afterEach(async () => {
	await cgroups[Symbol.asyncDispose]();
	expect(existsSync(pin)).toBe(false);
});

test.each([
	['without pins', 'bpf: {pin: off}'],
	['with pins', `bpf: {pin: ${pin}}`],
])('%s: a connection in the cgroup is counted and has its client', async (_what, bpf) => {
	const cgroup = join(cgroups.root, 'service');
	await using daemon = await Daemon.start({
		config: `cgroup: ${cgroup}\nlisteners: {ports: [${port}]}\ntrust: ["${network.pool}"]\n${bpf}`,
	});
	expect(await daemon.logged(/^the cgroup does not exist yet/)).toMatchObject({ level: 40, cgroup });
	expect(daemon.log.filter(({ msg }) => /^(attached|programs were detached)/.test(msg))).toEqual([]);
	expect(await readiness(daemon, 503)).toEqual(['cgroup_missing']);

	cgroups.make('service');
	await daemon.logged(/^programs are attached/);
	expect(await readiness(daemon, 200)).toEqual([]);
	expect(attachedAt(cgroup)).toContain('toascope_sockops');

	await using lab = await Lab.open({ routes: [{ listenPort, backendPort: port, profile: 'nat64' }] });
	const client = await lab.client();
	const probe = await Probe.start(lab, 'dual', port, cgroup);
	await Promise.all([
		probe.accept(),
		client.run({ from: clientAddress, to: nat64Server, port: listenPort, hold: true }),
	]);
	await probe.read();
	expect((await probe.getsockopt(0, 4096, 20)).error).toBe('');
	await daemon.until(
		(samples) => total(samples, 'toascope_connections_opened_total', { listener }) === 1n || undefined,
	);
	expect(await daemon.stop()).toBe(0);
	expect(attachedAt(cgroup)).toEqual([]);
});

test('a stop with on_exit: keep says that programs were never attached', async () => {
	const config = `cgroup: ${join(cgroups.root, 'never')}\nlisteners: {ports: [${port}]}\nbpf: {pin: ${pin}}`;
	{
		await using first = await Daemon.start({ config: `${config}\non_exit: keep` });
		expect(await first.stop()).toBe(0);
		const line = await first.logged(/^stopped: not everything stays attached/);
		expect(line['not_kept']).toContain('toascope_sockops is not attached, or not pinned');
	}
	await using second = await Daemon.start({ config });
	expect(await second.stop()).toBe(0);
});

test('the daemon can be stopped while it waits for the cgroup', async () => {
	await using daemon = await Daemon.start({
		config: `cgroup: ${join(cgroups.root, 'never')}\nlisteners: {ports: [${port}]}\nbpf: {pin: ${pin}}`,
	});
	await daemon.logged(/^the cgroup does not exist yet/);
	expect(await daemon.stop()).toBe(0);
});
