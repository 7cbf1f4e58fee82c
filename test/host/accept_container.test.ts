// SPDX-License-Identifier: Apache-2.0
/**
 * The container ID in spans is that of the process that accepted the connection. The cgroups are
 * real and have the paths that container engines use.
 */
import { createHash } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConnectionJson } from '../../daemon/api/connection.ts';
import { Lab, nat64Server } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { isReadyLine, untilReady } from '../../daemon/lab/process.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { compile } from '../kit/kernel/c_program.ts';
import { Cgroups, cgroupId, spawnIn } from '../kit/kernel/cgroup.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { clientAddress, somePorts } from '../kit/wire/toa_stage.ts';

/** A container ID: 64 hexadecimal digits. */
const id = (name: string) => createHash('sha256').update(name).digest('hex');

const pod = 'pod3f1c0d6e_7a52_4b0f_9a6e_0c6d1f2b7a11';
const burstable = 'kubepods.slice/kubepods-burstable.slice';

/** The path of the cgroup of each setup, and the ID of its container. */
const setups: Readonly<Record<string, readonly [path: string, container: string | undefined]>> = {
	'docker, systemd': [`system.slice/docker-${id('a')}.scope`, id('a')],
	'docker, cgroupfs': [`docker/${id('b')}`, id('b')],
	'docker, systemd in the container': [`system.slice/docker-${id('c')}.scope/system.slice/nginx.service`, id('c')],
	'containerd, Kubernetes': [`${burstable}/kubepods-burstable-${pod}.slice/cri-containerd-${id('d')}.scope`, id('d')],
	'containerd, cgroupfs': [`kubepods/burstable/${pod}/${id('e')}`, id('e')],
	'containerd, mixed drivers': [`system.slice/kubepods-besteffort-${pod}.slice:cri-containerd:${id('f')}`, id('f')],
	'CRI-O': [`${burstable}/kubepods-burstable-${pod}.slice/crio-${id('g')}.scope`, id('g')],
	podman: [`machine.slice/libpod-${id('h')}.scope/container`, id('h')],
	'rootless podman': [
		`user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id('i')}.scope/container`,
		id('i'),
	],
	'docker in docker': [`docker/${id('j')}/docker/${id('k')}`, id('k')],
	'the monitor of a container': [`machine.slice/libpod-conmon-${id('l')}.scope`, undefined],
	'a service, no container': ['system.slice/nginx.service', undefined],
};

/**
 * With an address buffer, the accept is always observed. Without one, only fexit observes it;
 * otherwise the process of the listener is reported.
 */
const buffers = ['an address buffer', 'no address buffer'] as const;
const cases = Object.keys(setups).flatMap((setup) => buffers.map((buffer) => [setup, buffer] as const));
const firstListenPort = 10_000;
const firstPort = somePorts(cases.length);

interface Served {
	readonly pid: number;
	readonly cgroup: string;
	/** The cgroup namespace of the process. */
	readonly cgroupNamespace: string;
	readonly result: ConnectionResult | undefined;
}

let cgroups: Cgroups;
let lab: Lab;
let client: LabClient;
let receiver: OtlpReceiver;
let daemon: Daemon;
let acceptProgram: string;
let served: readonly Served[];

async function serve(setup: string, buffer: (typeof buffers)[number], index: number): Promise<Served> {
	const cgroup = cgroups.make(setups[setup]?.[0] ?? '');
	const more = buffer === 'no address buffer' ? ['silently'] : [];
	const child = spawnIn(lab, cgroup, [compile('acceptor'), 'thread', String(firstPort + index), ...more], true);
	await untilReady(child, setup, isReadyLine);
	const pid = child.pid ?? 0;
	const [result] = await client.run({
		from: clientAddress,
		to: nat64Server,
		port: firstListenPort + index,
		text: 'who?',
		until: '\n',
	});
	return { pid, cgroup, cgroupNamespace: readlinkSync(`/proc/${pid}/ns/cgroup`), result };
}

beforeAll(async () => {
	cgroups = Cgroups.open();
	lab = await Lab.open({
		routes: cases.map((_, i) => ({ listenPort: firstListenPort + i, backendPort: firstPort + i, profile: 'nat64' })),
	});
	[client, receiver] = await Promise.all([lab.client(), startOtlpReceiver()]);
	daemon = await Daemon.start({
		config: `listeners: {ports: ["${firstPort}-${firstPort + cases.length - 1}"]}`,
		env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY: '50' },
	});
	({ accept_program: acceptProgram } = await daemon.json<{ accept_program: string }>('/v1/status'));
	served = await Promise.all(cases.map(([setup, buffer], index) => serve(setup, buffer, index)));
	await receiver.waitForSpans(cases.length);
});
afterAll(async () => {
	await daemon?.stop();
	await receiver?.close();
	await lab?.close();
	await cgroups?.[Symbol.asyncDispose]();
});

it.each(cases)('%s, accept() with %s: the span has the right container', async (setup, buffer) => {
	const index = cases.findIndex((one) => one[0] === setup && one[1] === buffer);
	const { pid, cgroup, cgroupNamespace, result } = served[index] as Served;
	expect(result?.error).toBeUndefined();
	// the process has its own cgroup namespace, as in a container, so it cannot see its path
	expect(cgroupNamespace).not.toBe(readlinkSync('/proc/self/ns/cgroup'));

	const spans = receiver.spans.filter(({ attributes }) => attributes['server.port'] === BigInt(firstPort + index));
	expect(spans).toHaveLength(1);
	const by = buffer === 'an address buffer' || acceptProgram === 'fexit' ? 'accept' : 'listener';
	expect(spans[0]?.attributes).toMatchObject({
		'client.address': result?.client,
		'process.pid': BigInt(pid),
		'toascope.owner': by,
	});
	expect(spans[0]?.attributes['container.id']).toBe(setups[setup]?.[1]);

	const [, peer, peerPort] = (result?.reply ?? '').trim().split(' ');
	const path = `/v1/connections?peer=${peer}:${peerPort}&netns=${lab.netnsInode('server')}`;
	const { connections } = await daemon.json<{ connections: ConnectionJson[] }>(path);
	expect(connections[0]?.process).toMatchObject({ pid, by, cgroup_id: cgroupId(cgroup) });
});
