// SPDX-License-Identifier: Apache-2.0
/**
 * An HTTP address or port that is not available yet: the daemon attaches and counts, logs that it
 * cannot listen, and listens as soon as it can.
 */
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { getFromDaemon } from '../../daemon/client/daemon_client.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { takenPort } from '../kit/daemon/occupied.ts';
import { parseMetrics } from '../kit/telemetry/metrics.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const waiting = /^HTTP cannot listen/;
const listening = /^HTTP is listening now/;

/** Runs a command in its own network namespace, which the shell script `commands` sets up. */
const inNetns = (commands: string) => [
	'unshare',
	'--net',
	'sh',
	'-ec',
	`ip link set lo up\n${commands}\nexec "$@"`,
	'sh',
];

function start(listen: string, through: readonly string[] = []): Promise<Daemon> {
	const config = (socket: string) => `listeners: {ports: [${port}]}\nhttp: {listen: "${listen}", socket: ${socket}}`;
	return Daemon.start({ config, through });
}

const inside = (daemon: Daemon, command: string) =>
	execFileSync('nsenter', [`--target=${daemon.child.pid}`, '--net', 'sh', '-ec', command], { encoding: 'utf8' });

async function failures(daemon: Daemon): Promise<number> {
	const { body } = await getFromDaemon({ socket: daemon.socket }, '/metrics');
	const named = parseMetrics(body).filter(({ name }) => name === 'toascope_http_listen_failures_total');
	return Number(named.find(({ labels }) => labels.endpoint === 'listen')?.value);
}

/** Expects the daemon to be attached, but not ready. */
async function expectWaiting(daemon: Daemon, code: string): Promise<void> {
	const line = await daemon.logged(waiting);
	expect(line).toMatchObject({ level: 50, endpoint: 'http.listen', err: { code } });
	expect(await daemon.logged(/^attached/)).toMatchObject({ http: 'not yet', socket: daemon.socket });
	const { status, body } = await getFromDaemon({ socket: daemon.socket }, '/readyz');
	expect({ status, body }).toEqual({ status: 503, body: expect.stringContaining('http_listen') });
	expect(await failures(daemon)).toBeGreaterThanOrEqual(1);
}

async function expectListening(daemon: Daemon): Promise<void> {
	await daemon.logged(listening);
	expect(await getFromDaemon({ socket: daemon.socket }, '/readyz')).toEqual({ status: 200, body: 'ready\n' });
	expect(daemon.log.filter(({ msg }) => waiting.test(msg))).toHaveLength(1);
}

test('a port that is freed later', async () => {
	const { server, port: taken } = await takenPort();
	await using daemon = await start(`127.0.0.1:${taken}`);
	await expectWaiting(daemon, 'ADDRESS_IN_USE');
	server.close();
	await expectListening(daemon);
	expect((await fetch(`http://127.0.0.1:${taken}/healthz`)).status).toBe(200);
});

test('an address that is added later', async () => {
	await using daemon = await start('192.0.2.50:80', inNetns('true'));
	await expectWaiting(daemon, 'ADDRESS_NOT_AVAILABLE');
	inside(daemon, 'ip address add 192.0.2.50/32 dev lo');
	await expectListening(daemon);
	expect(inside(daemon, 'ss -Hltn src 192.0.2.50')).toContain('192.0.2.50:80');
});

test('an IPv6 address that is still being probed for duplicates', async () => {
	// ten probes, one per second, so that the address is tentative when the daemon starts
	const dad = 'echo 10 >/proc/sys/net/ipv6/conf/one/dad_transmits; ip link set one up; ip link set two up';
	const veth = `ip link add one type veth peer name two; ${dad}; ip address add 2001:db8:5::1/64 dev one`;
	await using daemon = await start('[2001:db8:5::1]:80', inNetns(veth));
	await expectWaiting(daemon, 'ADDRESS_NOT_AVAILABLE');
	expect(inside(daemon, 'ip -6 address show dev one tentative')).toContain('2001:db8:5::1');
	await expectListening(daemon);
	expect(inside(daemon, 'ip -6 address show dev one tentative')).not.toContain('2001:db8:5::1');
	expect(inside(daemon, 'ss -Hltn src [2001:db8:5::1]')).toContain('[2001:db8:5::1]:80');
});

test('the daemon stops while it waits for the address', async () => {
	await using daemon = await start('203.0.113.1:1');
	await daemon.logged(waiting);
	expect(await daemon.stop()).toBe(0);
});
