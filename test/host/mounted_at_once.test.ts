// SPDX-License-Identifier: Apache-2.0
/** Several that start at once where no bpffs is mounted: one mounts it, and nobody hides, or takes away, what another pins. */
import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';

const pins = new URL('../../daemon/capture/pins.ts', import.meta.url).href;
const native = new URL('../../daemon/capture/native.ts', import.meta.url).href;

/** Threads have locks of their own, since these belong to the open file; all start from one line. */
const script = `
import { existsSync, readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
const pin = '/sys/fs/bpf/toascope-test';
const racers = 4;
const line = new Int32Array(new SharedArrayBuffer(4));
const racer = \`
	import { parentPort, workerData } from 'node:worker_threads';
	import { native } from '${native}';
	import { Pins } from '${pins}';
	const { line, racers, pin } = workerData;
	const addon = native();
	Atomics.add(line, 0, 1);
	while (Atomics.load(line, 0) < racers);
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
const workers = Array.from({ length: racers }, () => new Worker(racer, { eval: true, workerData: { line, racers, pin } }));
const opened = await Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
	worker.once('message', resolve);
	worker.once('error', reject);
})));
const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\\n').filter((each) => each.includes(' /sys/fs/bpf '));
console.log(JSON.stringify({ opened: opened.filter(Boolean).length, mounts: mounts.length, pinned: existsSync(pin) }));
for (const worker of workers) worker.postMessage('end');
`;

const alone = 'while umount /sys/fs/bpf 2>/dev/null; do :; done; exec "$0" --input-type=module -e "$1"';

it('one mounts it, and what it pinned stays', () => {
	for (let race = 0; race < 5; race++) {
		const said = execFileSync('unshare', ['--mount', 'sh', '-c', alone, process.execPath, script], {
			encoding: 'utf8',
		});
		expect(JSON.parse(said)).toEqual({ opened: 1, mounts: 1, pinned: true });
	}
});
