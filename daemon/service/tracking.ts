// SPDX-License-Identifier: Apache-2.0
/**
 * The tasks that follow connections: counting what open ones did, and passing events and open
 * connections to spans, connection records and live views.
 */
import { native } from '../../native/binding.ts';
import type { EnabledEvents, OnFailure, Tracker } from '../capture/provider.ts';
import type { RecordExport } from '../export/otel/logs/record_export.ts';
import type { SpanExport } from '../export/otel/spans/span_export.ts';
import { drainMs, drainPauseFactor, lookupFlushMs, openRecordsMs } from './cadence.ts';
import { type EventConsumer, Events } from './events.ts';
import type { FlushPace } from './flush_pace.ts';
import { OpenRecords } from './open_records.ts';
import type { Tasks } from './tasks.ts';

export interface TrackingOptions {
	readonly tracker: Tracker;
	readonly tasks: Tasks;
	readonly flushPace: FlushPace;
	/** Undefined: spans are not sent. */
	readonly spans: SpanExport | undefined;
	/** Undefined: connection records are not sent. */
	readonly records: RecordExport | undefined;
	/** The interval between two records of an open connection; undefined: it has none. */
	readonly spanIntervalMs: number | undefined;
	/** Called for every connection as it opens, is accepted and closes. */
	readonly onEvent: EventConsumer | undefined;
}

/** Starts the tasks. Returns the events, for their end; undefined: nothing consumes them. */
export function startTracking(options: TrackingOptions): Events | undefined {
	const { tracker, tasks, flushPace, spans, records, onEvent } = options;
	tasks.start('flush', lookupFlushMs, (yieldLoop) => (flushPace.take() ? tracker.flush(yieldLoop) : undefined));
	if (records !== undefined) recordOpen(options, records);
	if (spans === undefined && records === undefined && onEvent === undefined) return undefined;
	const events = new Events(tracker, enabledEvents(options), consumers(options), failures(tasks));
	const drain = () => {
		const more = events.drain();
		try {
			spans?.sampling.adjust(tracker.ringShare());
		} catch (error) {
			tasks.recordFailure('sampling', error);
		}
		return more;
	};
	tasks.start('drain', drainMs, drain, { pauseFactor: drainPauseFactor });
	return events;
}

function failures(tasks: Tasks): OnFailure {
	return (step, error) => tasks.recordFailure(step, error);
}

/** Spans and connection records do not need `opened`. */
function enabledEvents({ spans, records, onEvent }: TrackingOptions): EnabledEvents {
	const types = ['accepted', 'closed'] as const;
	const sampled = spans === undefined ? [] : types;
	if (onEvent !== undefined) return { every: ['opened', ...types], sampled };
	return { every: records === undefined ? [] : types, sampled };
}

function consumers({ spans, records, onEvent }: TrackingOptions): EventConsumer[] {
	// a span that fails must not keep the record from being made
	const telemetry: EventConsumer = (event) => {
		let hasSpan = false;
		try {
			hasSpan = spans?.onEvent(event) ?? false;
		} finally {
			records?.onEvent(event, hasSpan);
		}
	};
	return onEvent === undefined ? [telemetry] : [telemetry, onEvent];
}

function recordOpen({ tracker, tasks, spanIntervalMs: intervalMs }: TrackingOptions, records: RecordExport): void {
	if (intervalMs === undefined) return;
	const open = new OpenRecords({
		tracker,
		intervalMs,
		monotonicNs: () => native().monotonicNs(),
		onOpen: (connection, atNs) => records.onOpen(connection, atNs),
		hasRoom: () => records.hasRoom,
		onFailure: failures(tasks),
	});
	tasks.start('open_records', openRecordsMs(intervalMs), (yieldLoop) => open.run(yieldLoop));
}
