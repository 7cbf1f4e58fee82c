// SPDX-License-Identifier: Apache-2.0
/** Exports connection records to a receiver, for the tests of the export. */
import { pino } from 'pino';
import type { RecordExport } from '../../../daemon/export/otel/logs/record_export.ts';
import { OFFSET, traceIds } from './spans.ts';
import { openTestTelemetry, type TestOptions } from './test_telemetry.ts';

interface Options extends Pick<TestOptions, 'clock' | 'resolveContainer'> {
	readonly endpoint: string;
	readonly protocol?: TestOptions['config']['protocol'];
	/** Called for each line of the log, from `warn` on. */
	readonly onLine?: (line: string) => void;
}

/** Starts an export. `exported`: the number of records that the receiver accepted. */
export async function startRecords({ endpoint, protocol, onLine, ...options }: Options) {
	const telemetry = await openTestTelemetry({
		clock: (monotonicNs) => monotonicNs + OFFSET,
		...options,
		traceIds: (connection) => traceIds.of(connection),
		logger: pino({ level: 'warn' }, { write: (line: string) => onLine?.(line) }),
		config: { endpoint, protocol, logs: true },
	});
	const health = telemetry.health.find((one) => one.statistics().signal === 'logs');
	const exported = () => health?.statistics().exported ?? 0n;
	return { records: telemetry.records as RecordExport, exported };
}
