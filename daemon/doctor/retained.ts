// SPDX-License-Identifier: Apache-2.0
/** Whether closed connections stay in the table until telemetry that arrives later asks for them. */
import type { Status } from '../client/status.ts';
import { duration } from '../config/duration.ts';
import { type Check, check } from './check.ts';

const name = 'connections.retained';
const title = 'closed connections';
/** Batches, exports and retries of applications and of a Collector take so long. */
const enoughSeconds = 15;
const slotsMax = 4_194_304;

export function retainedChecks({ connection_retained_seconds: seconds, config }: Status): Check[] {
	if (seconds === null || seconds === undefined) return [];
	const found = `closed connections can be looked up for ${Math.floor(seconds)} s`;
	const retainMs = duration(0, Number.MAX_SAFE_INTEGER).safeParse(config.values['connections.retain']).data ?? 0;
	// what the configuration does not keep is not meant to be looked up
	if (seconds >= enoughSeconds || 1000 * seconds >= retainMs) return [check(name, title, 'ok', found)];
	const max = Number(config.values['connections.max']);
	const needed = 2 ** Math.ceil(Math.log2((max * enoughSeconds) / Math.max(seconds, 0.1)));
	const advice = `spans and logs that arrive later get no client: set connections.max to ${Math.min(slotsMax, needed)} (it is ${max})`;
	return [check(name, title, 'warn', found, advice)];
}
