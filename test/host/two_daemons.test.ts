// SPDX-License-Identifier: Apache-2.0
/** Two daemons with the same pins: the second refuses and names the first, whichever of them it is, and changes nothing. */
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { lockHolder } from '../../daemon/capture/lock_holder.ts';
import { type Native, native } from '../../daemon/capture/native.ts';
import { Pins } from '../../daemon/capture/pins.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { belongings, pinned } from '../fixtures/leftovers.ts';
import { somePorts } from '../fixtures/stage.ts';

const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const common = `listeners: {ports: [${somePorts(1)}]}\nbpf: {pin: ${pin}}`;
const [plain, other] = [common, `${common}\nsockopt: off\nclients: {capacity: 1000}`];
const refusal = ({ child }: Daemon) => `another toascope (pid ${child.pid}) has ${pin} [ALREADY_RUNNING]`;

afterEach(() => expect(existsSync(pin)).toBe(false));

test.each([
	['like it', plain, plain],
	['with fewer hooks and other sizes', plain, other],
	['with more hooks and other sizes', other, plain],
])('a second one, %s, is refused; it takes over when the first is killed', async (_what, first, second) => {
	await using one = await Daemon.start({ config: first });
	const had = () => [belongings(one.child.pid ?? 0), pinned(Pins.linksIn(pin))];
	const before = had();
	await expect(Daemon.start({ config: second })).rejects.toThrow(refusal(one));
	expect(had()).toEqual(before);
	expect((await fetch(`${one.url}/readyz`)).status).toBe(200);

	expect(await one.stop('SIGKILL')).toBe('SIGKILL');
	await using two = await Daemon.start({ config: second });
	expect((await two.logged(/^attached/)).adopted).toBe(true);
	await expect(Daemon.start({ config: first })).rejects.toThrow(refusal(two));
	// also where that is all that is pinned
	await expect(Daemon.start({ config: `${first}\non_exit: keep` })).rejects.toThrow(refusal(two));
});

test('of three that start at once one runs, and the others name it', async () => {
	const starts = await Promise.allSettled([plain, plain, plain].map((config) => Daemon.start({ config })));
	const running = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
	await using one = running[0];
	expect(running).toHaveLength(1);
	if (one === undefined) return;
	const errors = starts.flatMap((start) => (start.status === 'rejected' ? [String(start.reason)] : []));
	expect(errors).toEqual([expect.stringContaining(refusal(one)), expect.stringContaining(refusal(one))]);
});

describe('a daemon that ends takes the directory away', () => {
	/** Opens the pins, and has `meanwhile` happen once at the lock. */
	function open(meanwhile: (lock: () => number) => number): Pins {
		let times = 0;
		const lock: Native['lock'] = (path) =>
			path === pin && times++ === 0 ? meanwhile(() => native().lock(path)) : native().lock(path);
		const pins = Pins.open({ ...native(), lock }, pin);
		expect(times).toBe(2);
		return pins;
	}

	function expectOwned(pins: Pins): void {
		expect(lockHolder(pin)).toBe(process.pid);
		expect(() => Pins.open(native(), pin)).toThrow(`pid ${process.pid}`);
		pins.close(false);
	}

	test('before another has opened it', () => {
		expectOwned(
			open((lock) => {
				rmdirSync(pin);
				return lock();
			}),
		);
	});

	test.each(['', ' and one more has made it anew'])('after another has opened it, but not locked%s', (more) => {
		expectOwned(
			open((lock) => {
				const opened = lock();
				rmdirSync(pin);
				if (more !== '') mkdirSync(pin);
				return opened;
			}),
		);
	});
});
