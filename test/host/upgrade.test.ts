// SPDX-License-Identifier: Apache-2.0
/** A version with the same records takes over from the one before, under load: no connection and no accept is missed or counted twice. */
import { expect, test } from 'vitest';
import { Pins } from '../../daemon/capture/pins.ts';
import { expectIdentity, listenerAccount, settled } from '../fixtures/accounts.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { pinned } from '../fixtures/leftovers.ts';
import { total } from '../fixtures/metrics.ts';
import { patient } from '../fixtures/patience.ts';
import { somePorts } from '../fixtures/stage.ts';
import { SteadyLoad } from '../fixtures/steady_load.ts';

const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const port = somePorts(1);
const config = `listeners: {ports: [${port}]}\nbpf: {pin: ${pin}}`;

test('upgrades under load', { timeout: patient(120_000) }, async () => {
	let daemon = await Daemon.start({ config: `${config}\non_exit: keep` });
	await using _last = { [Symbol.asyncDispose]: async () => void (await daemon.stop()) };
	await using load = await SteadyLoad.start({ port, clients: 1000, nice: true });
	for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
		await load.more(100);
		const before = pinned(Pins.linksIn(pin));
		await daemon.stop(signal);
		await load.more(100);
		daemon = await Daemon.start({ config });
		expect((await daemon.logged(/^attached/)).adopted).toBe(true);
		const after = pinned(Pins.linksIn(pin));
		expect([...after.keys()]).toEqual([...before.keys()]);
		for (const [name, { id, program, type }] of after) {
			const old = before.get(name);
			expect(program, `the program of ${name}`).not.toBe(old?.program);
			// one of the kernel's own functions has a new link, which came before the old one went
			if (type === 'cgroup') expect(id, `the link of ${name}`).toBe(old?.id);
			else expect(id, `the link of ${name}`).not.toBe(old?.id);
		}
	}
	await load.more(100);
	const account = await load.stop();
	const samples = await settled(daemon, load.listener, Number(account.closed));
	expect(listenerAccount(samples, load.listener)).toEqual(account);
	expectIdentity(samples, load.listener);
	const accepts = (seen: string) => total(samples, 'toascope_accepts_total', { listener: load.listener, seen });
	expect(accepts('fexit') + accepts('getpeername') + accepts('unseen')).toBe(account.opened);
	// the kernel itself may miss a few: docs/limits.md
	expect(accepts('unseen')).toBeLessThan(account.opened / 100n);
	expect(total(samples, 'toascope_handshakes_total', { result: 'toa' })).toBe(account.opened);
	const options = (segment: string) => total(samples, 'toascope_options_total', { listener: load.listener, segment });
	expect(options('ack')).toBe(account.opened);
});
