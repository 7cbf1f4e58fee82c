// SPDX-License-Identifier: Apache-2.0
/** Exports metrics of a snapshot to a receiver, for the tests of the export. */
import { pino } from 'pino';
import { afterEach, beforeEach, vi } from 'vitest';
import type { MetricExport } from '../../../daemon/export/otel/metrics/metric_export.ts';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { snapshot } from '../model/snapshot.ts';
import { fixtureExporter } from '../model/view.ts';
import type { ReceivedMetric, ReceivedPoint } from './otlp_decode.ts';
import { type Answer, type OtlpReceiver, startOtlpReceiver } from './otlp_receiver.ts';
import { openTestTelemetry, type TestOptions } from './test_telemetry.ts';

const moduleEvents = { verdict_toa: 2n, connections: 1n };
const programs = [{ program: 'toa_accept', runs: 9_007_199_254_740_993n, runNs: 1_234_567_891n, misses: 3n }];
/** A snapshot with a value of every metric. */
export const whole: Snapshot = { ...snapshot, programs, moduleEvents };
/** When most of its series begin. */
export const startNs = 1_760_000_000_000_000_000n;

interface Stage {
	/** How the receiver answers the first requests; all others it accepts. */
	answers: Answer[];
	/** The snapshot that is exported. */
	shown: Snapshot;
	/** The lines of the log, in JSON. */
	logged: string[];
}

/** What the current test sets and reads. */
export const stage: Stage = { answers: [], shown: whole, logged: [] };
export let receiver: OtlpReceiver;
const opened: MetricExport[] = [];

/**
 * Call once per test file. Each test gets a receiver of its own and no OTEL_* variables in its
 * environment.
 */
export function setupPerTest(): void {
	beforeEach(async () => {
		for (const name of Object.keys(process.env)) if (name.startsWith('OTEL_')) vi.stubEnv(name, undefined);
		Object.assign(stage, { answers: [], shown: whole, logged: [] });
		receiver = await startOtlpReceiver((request) => stage.answers[request] ?? { status: 200 });
	});

	afterEach(async () => {
		await Promise.all(opened.splice(0).map((one) => one.finish(0)));
		await receiver.close();
		vi.unstubAllEnvs();
	});
}

/** Opens an export to the receiver. */
export async function open(config: TestOptions['config'] = {}) {
	const exporter = fixtureExporter(() => stage.shown);
	exporter.http.countResponse('/metrics', '200');
	const { metrics, health } = await openTestTelemetry({
		config: { endpoint: receiver.endpoint, metrics: true, ...config },
		metrics: exporter,
		logger: pino({ level: 'info' }, { write: (line: string) => void stage.logged.push(line) }),
	});
	if (metrics === undefined) throw new Error('no metrics are sent');
	opened.push(metrics);
	return { metrics, statistics: () => health[0]?.statistics(), status: () => health[0]?.status() };
}

/** The points of the metric with this name. */
export function byName(metrics: readonly ReceivedMetric[], name: string): ReceivedPoint[] {
	return metrics.filter((metric) => metric.name === name).flatMap(({ points }) => points);
}
