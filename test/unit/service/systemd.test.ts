// SPDX-License-Identifier: Apache-2.0
/**
 * The states that systemd is sent, even if it does not read for a while: the daemon does not wait,
 * and the latest state is not lost.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { LogSink } from '../../../daemon/log_line.ts';
import { Systemd } from '../../../daemon/service/systemd.ts';
import { NotifySocket } from '../../kit/daemon/notify_socket.ts';

let directory = '';
beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

const never = (context: object, text: string): never => expect.unreachable(`${text} ${JSON.stringify(context)}`);
const log: LogSink = { info: never, warn: never, error: never };

it('sends what is not ready, and READY=1 once, after the first collection', async () => {
	const path = join(directory, 'ready.sock');
	await using socket = await NotifySocket.open(path);
	const systemd = new Systemd(log, path);
	systemd.readiness([{ reason: 'first_collection', text: 'a is awaited\nfor long' }]);
	systemd.reloading();
	systemd.reloaded();
	systemd.readiness([{ reason: 'http_listen', text: 'an address is awaited' }]);
	systemd.readiness([]);
	systemd.readiness([{ reason: 'b', text: 'b is gone' }]);
	systemd.readiness([]);
	systemd.stopping();
	await socket.until(/^STOPPING=1$/);
	expect(socket.states).toEqual([
		'STATUS=not ready: a is awaited for long',
		'RELOADING=1',
		'STATUS=not ready: an address is awaited',
		'READY=1',
		'STATUS=ready',
		'STATUS=not ready: b is gone',
		'STATUS=ready',
		'STOPPING=1',
	]);
});

it('does not block: a socket that is full gets the rest when it is read again', async () => {
	const path = join(directory, 'full.sock');
	await using socket = await NotifySocket.open(path);
	const systemd = new Systemd(log, path);
	systemd.readiness([]);
	await socket.until(/^READY=1$/);
	socket.pause();
	// more than any queue of datagrams holds
	const reloads = 800;
	for (let i = 0; i < reloads; i++) {
		systemd.reloading();
		systemd.readiness([{ reason: 'a', text: `${i}` }]);
	}
	systemd.stopping();
	socket.goOn();
	await socket.until(/^STOPPING=1$/);
	const after = socket.states.slice(2);
	// of the states that waited, only the latest of each kind was sent
	expect(after.filter((state) => state === 'RELOADING=1').length).toBeLessThan(reloads);
	expect(after.slice(-3)).toEqual(['RELOADING=1', `STATUS=not ready: ${reloads - 1}`, 'STOPPING=1']);
});
