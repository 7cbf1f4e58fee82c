// SPDX-License-Identifier: Apache-2.0
/** A finding if closed connections leave the table before telemetry that arrives later asks for them. */
import type { Status } from '../client/status.ts';
import { duration } from '../config/duration.ts';
import { type Check, check } from './check.ts';

/** Batches, exports and retries of applications and of a Collector take so long. */
const enoughSeconds = 15;
const slotsMax = 4_194_304;

export function retainedChecks({ connection_retention: retention, config }: Status): Check[] {
	if (retention === null || retention === undefined) return [];
	const { seconds, slot_seconds: slotSeconds } = retention;
	const retainMs = duration(0, Number.MAX_SAFE_INTEGER).safeParse(config.values['connections.retain']).data ?? 0;
	// what the configuration does not keep is not meant to be looked up
	if (seconds >= enoughSeconds || 1000 * seconds >= retainMs || slotSeconds === null) return [];
	const slots = powerOfTwo(Number(config.values['connections.max']));
	// the table must be used once in the time that it is now, and the missing time
	const wanted = powerOfTwo(Math.ceil(slots * (1 + (enoughSeconds - seconds) / slotSeconds)));
	const needed = Math.min(slotsMax, Math.max(wanted, 2 * slots));
	const lost = 'spans and logs that arrive later get no client';
	const advice = slots < slotsMax ? `${lost}: set connections.max to ${needed}` : `${lost}: send them sooner`;
	const found = `closed connections can be looked up for ${Math.floor(seconds)} s`;
	return [check('connections.retained', 'closed connections', 'warn', found, advice)];
}

const powerOfTwo = (min: number) => 2 ** Math.ceil(Math.log2(min));
