// SPDX-License-Identifier: Apache-2.0
/** Exports connection records to a receiver, for the tests of the export. */
import { pino } from 'pino';
import type { RecordExport } from '../../../daemon/export/otel/logs/record_export.ts';
import { openTelemetry, type TelemetryOptions } from '../../../daemon/export/otel/telemetry.ts';
import { fixtureExporter } from '../model/view.ts';
import { everyConnection, OFFSET, traceIds } from './spans.ts';

interface Options {
	readonly endpoint: string;
	readonly protocol?: TelemetryOptions['config']['protocol'];
	readonly clock?: TelemetryOptions['clock'];
	readonly resolveContainer?: TelemetryOptions['resolveContainer'];
	/** Called for each line of the log, from `warn` on. */
	readonly onLine?: (line: string) => void;
}

/** Starts an export. `exported`: the number of records that the receiver accepted. */
export async function startRecords({ endpoint, protocol, onLine, ...options }: Options) {
	const telemetry = await openTelemetry({
		clock: (monotonicNs) => monotonicNs + OFFSET,
		resolveContainer: () => undefined,
		onSpan: () => {},
		setSampleThreshold: () => {},
		...options,
		traceIds: (connection) => traceIds.of(connection),
		logger: pino({ level: 'warn' }, { write: (line: string) => onLine?.(line) }),
		version: '1.2.3',
		instanceId: 'f1d2c3b4-0000-5000-8000-000000000000',
		metrics: fixtureExporter(),
		onMetricError: (error) => {
			throw error;
		},
		config: {
			endpoint,
			protocol,
			headersFile: undefined,
			metrics: false,
			spans: false,
			logs: true,
			spanIntervalMs: undefined,
			sampling: everyConnection,
		},
	});
	const health = telemetry.health.find((one) => one.statistics().signal === 'logs');
	const exported = () => health?.statistics().exported ?? 0n;
	return { records: telemetry.records as RecordExport, exported };
}
