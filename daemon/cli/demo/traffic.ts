// SPDX-License-Identifier: Apache-2.0
/** The connections that the demo makes. */
import { exitCode, ToascopeError } from '../../errors.ts';
import { type Lab, nat64Server } from '../../lab/lab.ts';
import type { Batch, ConnectionResult } from '../../lab/protocol.ts';
import { addressAfter } from '../../lab/sources.ts';
import { formatEndpoint } from '../../model/address.ts';
import type { LogDestination } from '../../service/log_destination.ts';
import type { Service } from '../../service/service.ts';
import { batchesOf } from './batches.ts';
import { emptyTally, type LabCheck, type Tally } from './check.ts';
import { type DemoOptions, defaultConnections } from './options.ts';
import { firstClient, publicPort } from './setup.ts';
import type { Stop } from './stop.ts';
import { demoHeader, reportOf, tallyText } from './text.ts';

/** Makes the connections of `--once`, and prints the result. */
export async function runOnce(
	options: DemoOptions,
	lab: Lab,
	truth: LabCheck,
	service: Service,
	stop: Stop,
): Promise<number> {
	const { connections = defaultConnections } = options;
	const client = await lab.client();
	const began = performance.now();
	let tally: Tally = emptyTally;
	for (const { first, clients, count } of batchesOf(options.clients, connections)) {
		const run = client.run({
			from: addressAfter(firstClient, first),
			clients,
			count,
			to: nat64Server,
			port: publicPort,
			send: 200,
			receive: 1000,
		});
		const results = await Promise.race([run, stop.promise]);
		if (results === undefined) throw new ToascopeError('LAB_FAILED', 'interrupted before the end');
		tally = await truth.check(results, tally, service);
	}
	const seconds = (performance.now() - began) / 1000;
	const report = { provider: 'bpf', accept_program: service.acceptProgram, ...reportOf(tally, seconds) };
	process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : tallyText(report));
	const allCorrect = tally.resolved === connections && tally.mismatched === 0 && tally.bytesMismatched === 0;
	return allCorrect ? exitCode.done : exitCode.failed;
}

/** What is sent to the server, and what is done with the results. */
interface Traffic {
	readonly batch: () => Pick<Batch, 'to' | 'send' | 'receive' | 'text'>;
	readonly check: (results: readonly ConnectionResult[]) => Promise<void>;
}

/** How long a server that does not close its connections can delay the next batch. */
const batchMs = 3000;

/** Makes connections until the demo is stopped. Resolves with the seconds that it ran. */
export async function runUntilStopped(
	options: DemoOptions,
	lab: Lab,
	service: Service,
	stop: Stop,
	screen: LogDestination,
	traffic: Traffic,
): Promise<number> {
	const client = await lab.client();
	const began = performance.now();
	const url = service.listening === undefined ? undefined : `http://${formatEndpoint(service.listening)}`;
	screen.write(demoHeader(url, options.backend));
	while (!stop.stopped) {
		const count = 1 + Math.floor(Math.random() * 4);
		const checked = client
			.run({
				from: addressAfter(firstClient, Math.floor(Math.random() * options.clients)),
				clients: count,
				port: publicPort,
				...traffic.batch(),
			})
			// Ctrl-C ends the processes of the lab as well as this one
			.then(traffic.check, () => {});
		await Promise.race([checked, delay(batchMs), stop.promise]);
		if (stop.stopped) break;
		await Promise.race([delay(400 * Math.random()), stop.promise]);
	}
	return (performance.now() - began) / 1000;
}

const delay = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());
