// SPDX-License-Identifier: Apache-2.0
/**
 * The BPF sources built with each clang of this machine: the build succeeds, this kernel accepts
 * every program, and on a kernel that is not emulated every connection of the demo has its client.
 * For a guest, the host has built them before.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { stackChains } from '../kit/kernel/bpf_stack.ts';
import { buildWith, compilers } from '../kit/kernel/compilers.ts';
import { isThorough } from '../kit/thorough.ts';
import { scaleTimeout } from '../kit/timeouts.ts';

const isEmulated = scaleTimeout(1) > 1;
const all = compilers();
/**
 * A build and its starts take half a minute each, so where time is short only the oldest and the
 * newest compiler are tested. The stack that the verifier counts is checked without a start.
 */
const found = isEmulated || !isThorough ? all.filter((_, index) => index === 0 || index === all.length - 1) : all;
/**
 * With a socket of their own, the commands do not ask a daemon that happens to run on this machine.
 */
const env = { ...process.env, TOASCOPE_HTTP_SOCKET: `/run/toascope-compilers-${process.pid}.sock` };

/** Runs a command of that build. Returns what it printed. */
async function run(program: string, ...command: string[]): Promise<string> {
	const child = spawn(process.execPath, [program, ...command], { env, stdio: ['ignore', 'pipe', 'inherit'] });
	const ended = once(child, 'exit');
	const printed = await text(child.stdout);
	await ended;
	expect(child.exitCode, printed).toBe(0);
	return printed;
}

test.skipIf(found.length === 0).each(found)('$name: the stack is small enough for old kernels', (compiler) => {
	const object = join(dirname(buildWith(compiler)), '../build/bpf/toascope.bpf.o');
	expect(stackChains(object)[0]?.bytes).toBeLessThanOrEqual(512);
});

test.skipIf(found.length === 0).each(found)(
	'$name: this kernel accepts the programs',
	async (compiler) => {
		const program = buildWith(compiler);
		const { checks } = JSON.parse(await run(program, 'doctor', '--json'));
		expect(checks).toContainEqual(expect.objectContaining({ name: 'programs', state: 'ok' }));
	},
	scaleTimeout(180_000),
);

test.skipIf(found.length === 0 || isEmulated).each(found)('$name: connections have their clients', async (compiler) => {
	const options = ['--listen', '127.0.0.1:0', '--once', '--clients', '5', '--connections', '50', '--json'];
	const printed = await run(buildWith(compiler), 'demo', ...options);
	expect(JSON.parse(printed)).toMatchObject({ connections: 50, resolved: 50, mismatched: 0, bytes_mismatched: 0 });
});
