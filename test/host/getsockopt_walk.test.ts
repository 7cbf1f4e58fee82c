// SPDX-License-Identifier: Apache-2.0
/**
 * Calls of getsockopt() that are not ours: half a million of them, on sockets of all kinds, with toascope and without. Result,
 * errno, length, every byte of the buffer and those behind it (apps/walk_getsockopt.c).
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Lab, nat64Server } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { isReadyLine, stop, untilReady } from '../../daemon/lab/process.ts';
import { compile } from '../fixtures/c_program.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { clientAddress, somePorts } from '../fixtures/stage.ts';

interface Walked {
	readonly sockets: number;
	readonly calls: number;
	/** Calls that succeeded. */
	readonly answered: number;
	/** Answers of more than a page. */
	readonly large: number;
}

interface Compared {
	readonly differ: number;
	/** Calls whose answers change by themselves, times for example: compared where they do not. */
	readonly unsteady: number;
	/** The first that differs. */
	readonly first: string;
}

const firstListenPort = 10_000;
const firstPort = somePorts(2);

let lab: Lab;
let client: LabClient;

beforeAll(async () => {
	lab = await Lab.open({
		routes: [0, 1].map((i) => ({ listenPort: firstListenPort + i, backendPort: firstPort + i, profile: 'nat64' })),
	});
	client = await lab.client();
});
afterAll(async () => {
	await lab?.close();
});

/** Walks with toascope, then twice without, and what differs. */
async function walks(): Promise<{ withIt: Walked; compared: Compared }> {
	const daemon = await Daemon.start({ config: `listeners: {ports: ["${firstPort}-${firstPort + 1}"]}` });
	const ports = [String(firstPort), String(firstPort + 1)];
	const child = lab.spawn('server', compile('walk_getsockopt'), ports, { stdio: 'pipe' });
	const waiting: ((told: unknown) => void)[] = [];
	await untilReady(child, 'walk_getsockopt', isReadyLine, (told) => waiting.shift()?.(told));
	const tell = <T>(command: string) =>
		new Promise<T>((resolve, reject) => {
			child.once('exit', () => reject(new Error(`walk_getsockopt ended at ${command}`)));
			waiting.push((told) => resolve(told as T));
			child.stdin?.write(`${command}\n`);
		});
	for (const port of [firstListenPort, firstListenPort + 1]) {
		const [made] = await client.run({ from: clientAddress, to: nat64Server, port, hold: true });
		expect(made?.error).toBeUndefined();
	}
	const withIt = await tell<Walked>('walk');
	await daemon.stop();
	await tell<Walked>('walk');
	await tell<Walked>('walk');
	const compared = await tell<Compared>('compare 1 0 2');
	await Promise.all([client.release(), stop(child)]);
	return { withIt, compared };
}

it('answers byte for byte what it did without, on every socket', async () => {
	let { withIt, compared } = await walks();
	// another daemon of this host may have come or gone just then: what this one does, it does again
	if (compared.differ > 0) ({ withIt, compared } = await walks());
	expect(compared).toMatchObject({ differ: 0, first: '' });

	// and it asked for what is there
	expect(withIt.sockets).toBeGreaterThanOrEqual(18);
	expect(withIt.answered).toBeGreaterThan(10_000);
	expect(withIt.large).toBeGreaterThan(0);
	expect(compared.unsteady).toBeLessThan(withIt.answered / 2);
});
