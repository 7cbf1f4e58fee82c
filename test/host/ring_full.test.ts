// SPDX-License-Identifier: Apache-2.0
/** The daemon is stopped (SIGSTOP) under load until the ring is full: each lost record is counted, and no counter is wrong. */
import { expect, test } from 'vitest';
import { expectIdentity, listenerAccount, settled } from '../fixtures/accounts.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { Grown } from '../fixtures/grown.ts';
import { type Sample, total } from '../fixtures/metrics.ts';
import { patient } from '../fixtures/patience.ts';
import { somePorts } from '../fixtures/stage.ts';
import { SteadyLoad } from '../fixtures/steady_load.ts';

const program = new URL('../fixtures/listening_daemon.ts', import.meta.url).pathname;
const port = somePorts(1);
const ringBytes = 1 << 20;
/** 168 bytes and a header of 8. */
const recordsInRing = Math.floor(ringBytes / 176);
const config = [
	`listeners: {ports: [${port}]}`,
	`bpf: {pin: off, ring_bytes: ${ringBytes}}`,
	'clients: {max_exported: 500, idle: 500 ms}',
].join('\n');

const lost = (samples: readonly Sample[]) => total(samples, 'toascope_drops_total', { reason: 'ring_full' });

async function received(daemon: Daemon): Promise<bigint> {
	const from = daemon.log.length;
	daemon.child.kill('SIGUSR2');
	const { opened, accepted, closed } = await daemon.logged(/^received/, from);
	return [opened, accepted, closed].reduce<bigint>((sum, count) => sum + BigInt(count as number), 0n);
}

test('stopped twice under load', { timeout: patient(120_000) }, async () => {
	await using daemon = await Daemon.start({ config, program });
	await using load = await SteadyLoad.start({ port, clients: 2000 });
	const series = new Grown();
	for (let stop = 0; stop < 2; stop++) {
		await load.more(1000);
		const before = await received(daemon);
		await series.look(daemon);
		daemon.child.kill('SIGSTOP');
		// three records each, and two rings full
		await load.more((2 * recordsInRing) / 3 + 10_000);
		daemon.child.kill('SIGCONT');
		await series.look(daemon);
		// it goes on
		await expect.poll(() => received(daemon), { timeout: patient(20_000) }).toBeGreaterThan(before);
	}
	const account = await load.stop();
	const samples = await settled(daemon, load.listener, Number(account.closed));
	expect(listenerAccount(samples, load.listener)).toEqual(account);
	expectIdentity(samples, load.listener);
	await series.look(daemon);

	const verdicts = total(samples, 'toascope_handshakes_total', { listener: load.listener });
	const unseen = total(samples, 'toascope_accepts_total', { listener: load.listener, seen: 'unseen' });
	const accepts = total(samples, 'toascope_accepts_total', { listener: load.listener }) - unseen;
	expect(verdicts).toBe(account.opened);
	expect(accepts + unseen).toBe(account.opened);
	expect(lost(samples)).toBeGreaterThan(10_000n);
	// each record was received, or is counted as lost
	const made = verdicts + accepts + account.closed;
	await expect.poll(() => received(daemon), { timeout: patient(20_000) }).toBe(made - lost(samples));
	expect(total(samples, 'toascope_drops_total', { reason: 'close_unheard' })).toBe(0n);
});
