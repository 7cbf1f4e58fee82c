// SPDX-License-Identifier: Apache-2.0
/**
 * A daemon in a time namespace has its own clock, but the kernel's timestamps are those of the
 * host.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { native } from '../../native/binding.ts';

const addon = new URL('../../build/Release/toascope.node', import.meta.url).pathname;
const hour = 3600n * 1_000_000_000n;

it.skipIf(!existsSync('/proc/self/timens_offsets'))("the addon returns the host's time of the monotonic clock", () => {
	const before = native().monotonicNs();
	const script = `process.stdout.write(String(require(process.argv[1]).monotonicNs()))`;
	const args = ['--time', '--monotonic', '7200', '--fork', '--', process.execPath, '-e', script, addon];
	const inside = BigInt(execFileSync('unshare', args, { encoding: 'utf8' }));
	expect(inside).toBeGreaterThanOrEqual(before);
	expect(inside).toBeLessThan(before + hour);
});
