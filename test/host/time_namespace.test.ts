// SPDX-License-Identifier: Apache-2.0
/** A daemon in a time namespace has a clock of its own; what the kernel notes goes by the host's. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { native } from '../../daemon/capture/native.ts';

const addon = new URL('../../build/Release/toascope.node', import.meta.url).pathname;
const hour = 3600n * 1_000_000_000n;

it.skipIf(!existsSync('/proc/self/timens_offsets'))("is told the host's time of the same clock", () => {
	const before = native().monotonicNs();
	const script = `process.stdout.write(String(require(process.argv[1]).monotonicNs()))`;
	const inside = ['--time', '--monotonic', '7200', '--fork', '--', process.execPath, '-e', script, addon];
	const told = BigInt(execFileSync('unshare', inside, { encoding: 'utf8' }));
	expect(told).toBeGreaterThanOrEqual(before);
	expect(told).toBeLessThan(before + hour);
});
