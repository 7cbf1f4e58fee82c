// SPDX-License-Identifier: Apache-2.0
/** Opens the export as the daemon does, for the tests of one signal. */
import { pino } from 'pino';
import { openTelemetry, type Telemetry, type TelemetryOptions } from '../../../daemon/export/otel/telemetry.ts';
import { fixtureExporter } from '../model/view.ts';

type OtelConfig = TelemetryOptions['config'];

export interface TestOptions extends Partial<Omit<TelemetryOptions, 'config'>> {
	/** No signal is enabled by default, and every connection is sampled. */
	readonly config: Partial<OtelConfig>;
}

const defaults: OtelConfig = {
	endpoint: undefined,
	protocol: undefined,
	headersFile: undefined,
	metrics: false,
	spans: false,
	logs: false,
	spanIntervalMs: undefined,
	sampling: { ratio: 1, listeners: 'all', retransmits: undefined, acceptWaitMs: undefined },
};

export function openTestTelemetry({ config, ...options }: TestOptions): Promise<Telemetry> {
	return openTelemetry({
		clock: (ns) => ns,
		setSampleThreshold: () => {},
		traceIds: () => ({ traceId: '', spanId: '' }),
		resolveContainer: () => undefined,
		onSpan: () => {},
		logger: pino({ level: 'silent' }),
		version: '1.2.3',
		instanceId: 'f1d2c3b4-0000-5000-8000-000000000000',
		metrics: fixtureExporter(),
		onMetricError: (error) => {
			throw error;
		},
		...options,
		config: { ...defaults, ...config },
	});
}
