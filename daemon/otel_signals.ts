// SPDX-License-Identifier: Apache-2.0
import type { OtelSignal } from './otel_environment.ts';

/** The key of `otel` in the configuration that enables each signal. */
const enabledBy = { metrics: 'metrics', traces: 'spans', logs: 'logs' } as const satisfies Record<OtelSignal, string>;

type Switch = (typeof enabledBy)[OtelSignal];

/** The signals that the configuration enables; the environment can disable them. */
export function enabledSignals(otel: Readonly<Record<Switch, boolean>>): OtelSignal[] {
	return (Object.keys(enabledBy) as OtelSignal[]).filter((signal) => otel[enabledBy[signal]]);
}
