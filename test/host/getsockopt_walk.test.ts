// SPDX-License-Identifier: Apache-2.0
/**
 * Half a million getsockopt() calls that toascope does not answer, on sockets of all kinds, with
 * toascope and without: result, errno, length, every byte of the buffer and the bytes after it are
 * compared (apps/walk_getsockopt.c).
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Lab, nat64Server } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { isReadyLine, stop, untilReady } from '../../daemon/lab/process.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { compile } from '../kit/kernel/c_program.ts';
import { clientAddress, somePorts } from '../kit/wire/toa_stage.ts';

interface WalkResult {
	readonly sockets: number;
	readonly calls: number;
	/** Calls that succeeded. */
	readonly answered: number;
	/** Calls with a result of more than a page. */
	readonly large: number;
}

interface Comparison {
	readonly differ: number;
	/**
	 * Calls whose results change by themselves, for example times: only the words that do not
	 * change are compared.
	 */
	readonly unsteady: number;
	/** The first call that differs. */
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

/** Makes all calls with toascope, then twice without it, and compares the results. */
async function walkAndCompare(): Promise<{ walked: WalkResult; compared: Comparison }> {
	const daemon = await Daemon.start({ config: `listeners: {ports: ["${firstPort}-${firstPort + 1}"]}` });
	const ports = [String(firstPort), String(firstPort + 1)];
	const child = lab.spawn('server', compile('walk_getsockopt'), ports, { stdio: 'pipe' });
	const waiting: ((answer: unknown) => void)[] = [];
	await untilReady(child, 'walk_getsockopt', isReadyLine, (answer) => waiting.shift()?.(answer));
	const ask = <T>(command: string) =>
		new Promise<T>((resolve, reject) => {
			child.once('exit', () => reject(new Error(`walk_getsockopt ended at ${command}`)));
			waiting.push((answer) => resolve(answer as T));
			child.stdin?.write(`${command}\n`);
		});
	for (const port of [firstListenPort, firstListenPort + 1]) {
		const [made] = await client.run({ from: clientAddress, to: nat64Server, port, hold: true });
		expect(made?.error).toBeUndefined();
	}
	const walked = await ask<WalkResult>('walk');
	await daemon.stop();
	await ask<WalkResult>('walk');
	await ask<WalkResult>('walk');
	const compared = await ask<Comparison>('compare 1 0 2');
	await Promise.all([client.release(), stop(child)]);
	return { walked: walked, compared };
}

it('every call returns byte for byte the same as without toascope, on every socket', async () => {
	let { walked, compared } = await walkAndCompare();
	// another daemon of this host can have started or stopped meanwhile; a difference that this one
	// causes would occur again
	if (compared.differ > 0) ({ walked: walked, compared } = await walkAndCompare());
	expect(compared).toMatchObject({ differ: 0, first: '' });

	// the calls did cover many sockets and results, large ones among them
	expect(walked.sockets).toBeGreaterThanOrEqual(18);
	expect(walked.answered).toBeGreaterThan(10_000);
	expect(walked.large).toBeGreaterThan(0);
	expect(compared.unsteady).toBeLessThan(walked.answered / 2);
});
