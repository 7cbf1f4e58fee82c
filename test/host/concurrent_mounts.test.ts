// SPDX-License-Identifier: Apache-2.0
/**
 * Several daemons that start at once where no bpffs is mounted: one mounts it, and none hides or
 * removes what another has pinned.
 */
import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';

const pins = new URL('../../daemon/capture/pinning/pins.ts', import.meta.url).href;
const native = new URL('../../native/binding.ts', import.meta.url).href;

/**
 * Threads can compete like processes, because the locks belong to the open files. All of them start
 * at the same moment.
 */
const script = `
import { existsSync, readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
const pin = '/sys/fs/bpf/toascope-test';
const racers = 4;
const barrier = new Int32Array(new SharedArrayBuffer(4));
const racer = \`
	import { parentPort, workerData } from 'node:worker_threads';
	import { native } from '${native}';
	import { Pins } from '${pins}';
	const { barrier, racers, pin } = workerData;
	const addon = native();
	Atomics.add(barrier, 0, 1);
	while (Atomics.load(barrier, 0) < racers);
	let opened;
	try {
		opened = Pins.open(addon, pin);
	} catch (error) {
		if (error.code !== 'ALREADY_RUNNING') throw error;
	}
	parentPort.once('message', () => {
		opened?.close(false);
		process.exit();
	});
	parentPort.postMessage(opened !== undefined);
\`;
const workers = Array.from({ length: racers }, () => new Worker(racer, { eval: true, workerData: { barrier, racers, pin } }));
const opened = await Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
	worker.once('message', resolve);
	worker.once('error', reject);
})));
const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\\n').filter((each) => each.includes(' /sys/fs/bpf '));
console.log(JSON.stringify({ opened: opened.filter(Boolean).length, mounts: mounts.length, pinned: existsSync(pin) }));
for (const worker of workers) worker.postMessage('end');
`;

const withoutBpffs = 'while umount /sys/fs/bpf 2>/dev/null; do :; done; exec "$0" --input-type=module -e "$1"';

it('one of them mounts bpffs, and what it pinned stays', () => {
	for (let race = 0; race < 5; race++) {
		const output = execFileSync('unshare', ['--mount', 'sh', '-c', withoutBpffs, process.execPath, script], {
			encoding: 'utf8',
		});
		expect(JSON.parse(output)).toEqual({ opened: 1, mounts: 1, pinned: true });
	}
});
