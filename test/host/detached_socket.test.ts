// SPDX-License-Identifier: Apache-2.0
/**
 * The daemon checks the file of its Unix socket: it creates it again if it was removed, and does
 * not touch the file of another process.
 */
import { once } from 'node:events';
import { lstatSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { getFromDaemon } from '../../daemon/client/daemon_client.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { readiness } from '../kit/daemon/readiness.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const config = `listeners: {ports: [${somePorts(1)}]}`;
const lost = async (daemon: Daemon) =>
	total(await daemon.metrics(), 'toascope_attachments_lost_total', { attachment: 'http_socket' });

test('removed: it is created again, and logged', async () => {
	await using daemon = await Daemon.start({ config });
	expect(await lost(daemon)).toBe(0n);
	rmSync(daemon.socket);
	expect(await daemon.logged(/file of the Unix socket is gone/)).toMatchObject({ level: 50, file: 'removed' });
	await daemon.logged(/^HTTP is listening now/);
	expect((await getFromDaemon({ socket: daemon.socket }, '/readyz')).status).toBe(200);
	expect(await lost(daemon)).toBe(1n);
	expect(await daemon.stop()).toBe(0);
});

test("replaced by another process's: not ready, logged, and not removed by a stop", async () => {
	await using daemon = await Daemon.start({ config });
	const { socket } = daemon;
	rmSync(socket);
	await using other = createServer().listen(socket);
	await once(other, 'listening');
	const theirs = lstatSync(socket).ino;
	await daemon.logged(/file of the Unix socket is gone/);
	expect(await readiness(daemon, 503)).toEqual(['http_socket']);
	await daemon.logged(/^HTTP cannot listen/);
	daemon.child.kill('SIGTERM');
	await once(daemon.child, 'exit');
	expect(lstatSync(socket).ino).toBe(theirs);
});

test("created again when the other process's is gone", async () => {
	await using daemon = await Daemon.start({ config });
	const { socket } = daemon;
	rmSync(socket);
	{
		await using other = createServer().listen(socket);
		await once(other, 'listening');
		await daemon.logged(/^HTTP cannot listen/);
	}
	await daemon.logged(/^HTTP is listening now/);
	await readiness(daemon, 200);
	expect((await getFromDaemon({ socket }, '/healthz')).status).toBe(200);
});
