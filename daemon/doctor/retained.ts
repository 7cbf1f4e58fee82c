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

export function retainedChecks({ connection_retention: retention, config }: Status): Check[] {
	if (retention === null || retention === undefined) return [];
	const { seconds, slot_seconds: slotSeconds } = retention;
	const found = `closed connections can be looked up for ${Math.floor(seconds)} s`;
	const retainMs = duration(0, Number.MAX_SAFE_INTEGER).safeParse(config.values['connections.retain']).data ?? 0;
	// what the configuration does not keep is not meant to be looked up
	if (seconds >= enoughSeconds || 1000 * seconds >= retainMs || slotSeconds === null) {
		return [check(name, title, 'ok', found)];
	}
	const slots = powerOfTwo(Number(config.values['connections.max']));
	// the table must be used once in the time that it is now, and the missing time
	const wanted = powerOfTwo(Math.ceil(slots * (1 + (enoughSeconds - seconds) / slotSeconds)));
	const needed = Math.min(slotsMax, Math.max(wanted, 2 * slots));
	const lost = 'spans and logs that arrive later get no client';
	const advice = slots < slotsMax ? `${lost}: set connections.max to ${needed}` : `${lost}: send them sooner`;
	return [check(name, title, 'warn', found, advice)];
}

const powerOfTwo = (min: number) => 2 ** Math.ceil(Math.log2(min));
