// SPDX-License-Identifier: Apache-2.0
/** In a pid namespace of its own the kernel's number of a process is another's: nobody is taken for the one that it names. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import { Cgroups } from '../fixtures/cgroup.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { startOtlpReceiver } from '../fixtures/otlp_receiver.ts';
import { Probe } from '../fixtures/probe.ts';
import { somePorts } from '../fixtures/stage.ts';

const id = (name: string) => createHash('sha256').update(name).digest('hex');
const route = 10_000;
const port = somePorts(1);

/** Ends the daemon in the namespace: the process that this one started is unshare(1), which takes no signals meanwhile. */
async function stop({ child }: Daemon): Promise<void> {
	const ended = once(child, 'exit');
	const inner = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
	process.kill(Number(inner), 'SIGTERM');
	await ended;
}

test('spans name the container of the server, not that of a process which has its number here', async () => {
	await using cgroups = Cgroups.open();
	const server = cgroups.make(`system.slice/docker-${id('server')}.scope`);
	const other = cgroups.make(`system.slice/docker-${id('other')}.scope`);
	const receiver = await startOtlpReceiver();
	const lab = await Lab.open({ routes: [{ listenPort: route, backendPort: port, profile: 'nat64' }] });
	try {
		const probe = await Probe.start(lab, '4', port, server);
		// the next process there gets the probe's number on the host, and is in another container
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
			const said = daemon.log.map(({ msg, code }) => (code === undefined ? msg : `${msg}: ${code}`));
			expect(said).toContain("in a pid namespace of its own: the kernel's numbers of processes mean nothing here");
			// the probe began to listen before; its socket is not reached for
			expect(said).toContain('options on the SYN are not read for listeners from before: PID_NAMESPACE');
		} finally {
			await stop(daemon);
			await daemon.stop();
		}
	} finally {
		await lab.close();
		await receiver.close();
	}
});
