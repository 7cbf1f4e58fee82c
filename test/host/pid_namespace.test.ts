// SPDX-License-Identifier: Apache-2.0
/**
 * A daemon in its own PID namespace: the kernel reports pids of the host, and the process with the
 * same pid in the namespace must not be taken for the one that the kernel means.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { Cgroups } from '../kit/kernel/cgroup.ts';
import { startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { Probe } from '../kit/wire/probe.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const id = (name: string) => createHash('sha256').update(name).digest('hex');
const route = 10_000;
const port = somePorts(1);

/**
 * Ends the daemon in the namespace. The child of this process is unshare(1), which ignores signals
 * until then.
 */
async function stop({ child }: Daemon): Promise<void> {
	const ended = once(child, 'exit');
	const inner = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
	process.kill(Number(inner), 'SIGTERM');
	await ended;
}

test('spans name the container of the server, not that of the process with the same pid in the namespace', async () => {
	await using cgroups = Cgroups.open();
	const server = cgroups.make(`system.slice/docker-${id('server')}.scope`);
	const other = cgroups.make(`system.slice/docker-${id('other')}.scope`);
	const receiver = await startOtlpReceiver();
	const lab = await Lab.open({ routes: [{ listenPort: route, backendPort: port, profile: 'nat64' }] });
	try {
		const probe = await Probe.start(lab, '4', port, server);
		// the next process in the namespace gets the probe's pid on the host, and is in another
		// container
		const script = `
			{ echo $((${probe.pid} - 1)) > /proc/sys/kernel/ns_last_pid
			sh -c 'echo $$ > ${other}/cgroup.procs; exec sleep infinity' & } 2>/dev/null
			exec "$@"`;
		const daemon = await Daemon.start({
			config: `listeners: {ports: [${port}]}\ntrust: ["${network.pool}"]\nprofiles: [nat64, cdn4]`,
			env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY: '100' },
			through: ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child', 'sh', '-c', script, 'sh'],
		});
		try {
			const client = await lab.client();
			const [[made]] = await Promise.all([client.run({ to: nat64Server, port: route, hold: true }), probe.accept()]);
			expect(made?.error).toBeUndefined();
			await Promise.all([client.release(), probe.closeConnection()]);
			await receiver.waitForSpans(1);
			expect(receiver.spans[0]?.attributes).toMatchObject({
				'process.pid': BigInt(probe.pid),
				'container.id': id('server'),
			});
			const logged = daemon.log.map(({ msg, code }) => (code === undefined ? msg : `${msg}: ${code}`));
			expect(logged).toContain('running in a separate PID namespace: process IDs from the kernel do not match /proc');
			// the probe was listening before the daemon started, and the daemon does not access its
			// socket
			expect(logged).toContain('options on the SYN are not read for listeners that existed before: PID_NAMESPACE');
		} finally {
			await stop(daemon);
			await daemon.stop();
		}
	} finally {
		await lab.close();
		await receiver.close();
	}
});
