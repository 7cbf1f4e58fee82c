// SPDX-License-Identifier: Apache-2.0
/**
 * Two daemons with the same pins: the second one refuses to start, names the first, and changes
 * nothing, whatever their configurations are.
 */
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { Pins } from '../../daemon/capture/pinning/pins.ts';
import { lockHolder } from '../../daemon/host/lock_holder.ts';
import { type Native, native } from '../../native/binding.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { kernelObjectsOf, pinned } from '../kit/kernel/bpf_objects.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const common = `listeners: {ports: [${somePorts(1)}]}\nbpf: {pin: ${pin}}`;
const [plain, other] = [common, `${common}\nsockopt: off\nclients: {capacity: 1000}`];
const refusal = ({ child }: Daemon) => `another toascope (pid ${child.pid}) is using ${pin} [ALREADY_RUNNING]`;

afterEach(() => expect(existsSync(pin)).toBe(false));

test.each([
	['with the same configuration', plain, plain],
	['with fewer hooks and other sizes', plain, other],
	['with more hooks and other sizes', other, plain],
])('a second daemon %s is refused; it adopts the pins when the first is killed', async (_what, first, second) => {
	await using one = await Daemon.start({ config: first });
	const objects = () => [kernelObjectsOf(one.child.pid ?? 0), pinned(Pins.linksIn(pin))];
	const before = objects();
	await expect(Daemon.start({ config: second })).rejects.toThrow(refusal(one));
	expect(objects()).toEqual(before);
	expect((await fetch(`${one.url}/readyz`)).status).toBe(200);

	expect(await one.stop('SIGKILL')).toBe('SIGKILL');
	await using two = await Daemon.start({ config: second });
	expect((await two.logged(/^attached/)).adopted).toBe(true);
	await expect(Daemon.start({ config: first })).rejects.toThrow(refusal(two));
	// likewise with on_exit: keep
	await expect(Daemon.start({ config: `${first}\non_exit: keep` })).rejects.toThrow(refusal(two));
});

test('if three daemons start at once, one runs, and the others name it', async () => {
	const starts = await Promise.allSettled([plain, plain, plain].map((config) => Daemon.start({ config })));
	const running = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
	await using one = running[0];
	expect(running).toHaveLength(1);
	if (one === undefined) return;
	const errors = starts.flatMap((start) => (start.status === 'rejected' ? [String(start.reason)] : []));
	expect(errors).toEqual([expect.stringContaining(refusal(one)), expect.stringContaining(refusal(one))]);
});

describe('a daemon that ends removes the directory', () => {
	/** Opens the pins, and calls `meanwhile` instead of the first attempt to take the lock. */
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

	test.each(['', ', and a third has created it again'])('after another has opened but not locked it%s', (more) => {
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
