// SPDX-License-Identifier: Apache-2.0
/**
 * No trace event of toa.ko is lost when segments are handled in process context and others
 * interrupt that.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { modulePrograms } from '../../../daemon/capture/load.ts';
import { Daemon } from '../../kit/daemon/daemon.ts';
import { metricsAtRest } from '../../kit/daemon/expected_traffic.ts';
import { compileBpf } from '../../kit/kernel/c_program.ts';
import { loadToa, unloadToa } from '../../kit/kernel/module.ts';
import { total } from '../../kit/telemetry/metrics.ts';
import { somePorts } from '../../kit/wire/toa_stage.ts';

const program = join(import.meta.dirname, '../../../build/vm/programs/backlog');
const port = somePorts(1);
const listener = `192.0.2.1:${port}`;
const rounds = 20;

afterEach(unloadToa);

it('data with an option in the backlog of a socket, while other segments arrive on the same CPU', async () => {
	await loadToa();
	await using daemon = await Daemon.start({ config: `provider: module\nlisteners: {ports: [${port}]}\n` });
	const { stdout } = await promisify(execFile)(program, [compileBpf('slow_update'), `${port}`, `${rounds}`]);
	const made = BigInt(stdout);
	const samples = await metricsAtRest(daemon, listener, Number(made));
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
