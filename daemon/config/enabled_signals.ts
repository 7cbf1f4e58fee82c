// SPDX-License-Identifier: Apache-2.0
import type { OtelSignal } from '../otel_environment.ts';
import type { Config } from './config.ts';

/** The key of `otel` that enables each signal. */
const enabledBy = { metrics: 'metrics', traces: 'spans', logs: 'logs' } as const satisfies Record<
	OtelSignal,
	keyof Config['otel']
>;

/** The signals that the configuration enables; the environment can disable them. */
export function enabledSignals(config: Config['otel']): OtelSignal[] {
	return (Object.keys(enabledBy) as OtelSignal[]).filter((signal) => config[enabledBy[signal]]);
}
