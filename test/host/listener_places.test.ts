// SPDX-License-Identifier: Apache-2.0
/** Places of listeners: two connections that arrive at a new one at the same moment take one place, and lose none. */
import { availableParallelism } from 'node:os';
import { expect, it } from 'vitest';
import { Programs } from '../../daemon/capture/programs.ts';
import { bpfReader } from '../../daemon/capture/provider.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { Lab } from '../../daemon/lab/lab.ts';
import { finish } from '../../daemon/lab/process.ts';
import { compile } from '../fixtures/c_program.ts';
import { somePorts } from '../fixtures/stage.ts';

const count = 8000;
const port = somePorts(1);

it.skipIf(availableParallelism() < 2)('each listener finds a place while there are any', async () => {
	await using lab = await Lab.open();
	// one more: while the last of them is made, two are taken
	const settings = { listeners: { ports: [port], max: count + 1 }, bpf: { pin: 'off' } };
	const provider = Programs.open(toConfig(fileSchema.parse(settings), {}), bpfReader, {
		info() {},
		warn() {},
		error() {},
	});
	try {
		const rivals = lab.spawn('server', compile('rivals'), [String(port), String(count)], { stdio: 'pipe' });
		await finish(rivals, 'rivals', '');
		const listeners = provider.counters.readListeners();
		// and "other"
		expect(listeners).toHaveLength(count + 1);
		for (const { endpoint, total } of listeners) expect(total.opened).toBe(endpoint === undefined ? 0n : 2n);
		expect(provider.counters.drops()).toMatchObject({ listeners_full: 0n, listener_slot: 0n });
	} finally {
		provider.close(false);
	}
});
