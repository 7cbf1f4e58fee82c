// SPDX-License-Identifier: Apache-2.0
/** Nothing that toa.ko says is lost where segments are handled by processes, and others interrupt them. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { modulePrograms } from '../../../daemon/capture/load.ts';
import { settled } from '../../fixtures/accounts.ts';
import { compileBpf } from '../../fixtures/c_program.ts';
import { Daemon } from '../../fixtures/daemon.ts';
import { total } from '../../fixtures/metrics.ts';
import { loadToa, unloadToa } from '../../fixtures/module.ts';
import { somePorts } from '../../fixtures/stage.ts';

const program = join(import.meta.dirname, '../../../build/vm/programs/backlog');
const port = somePorts(1);
const listener = `192.0.2.1:${port}`;
const rounds = 20;

afterEach(unloadToa);

it('data with an option in the backlog of a socket, while others come in on the same processor', async () => {
	await loadToa();
	await using daemon = await Daemon.start({ config: `provider: module\nlisteners: {ports: [${port}]}\n` });
	const { stdout } = await promisify(execFile)(program, [compileBpf('slow_update'), `${port}`, `${rounds}`]);
	const made = BigInt(stdout);
	const samples = await settled(daemon, listener, Number(made));
	const verdicts = samples.filter(
		({ name, labels }) => name === 'toascope_handshakes_total' && labels.listener === listener,
	);
	const counted = Object.fromEntries(verdicts.map(({ labels, value }) => [labels.result, value]));
	expect(counted).toEqual({ toa: String(made), none: '0', malformed: '0', untrusted: '0', conflict: '0' });
	expect(total(samples, 'toascope_options_total', { listener, segment: 'data' })).toBe(made);
	const misses = samples.filter(({ name }) => name === 'toascope_bpf_program_misses_total');
	const missed = misses.map(({ labels, value }) => [labels.program, value]);
	expect(missed).toEqual(expect.arrayContaining(modulePrograms.map((name) => [name, '0'])));
	expect(total(samples, 'toascope_drops_total')).toBe(0n);
});
