// SPDX-License-Identifier: Apache-2.0
/**
 * The OTEL_* variables with which the signals that are enabled could not be sent. Other variables
 * that cannot be used have a default, and are logged.
 */
import { type OtelSignal, protocolError, readOtelEnvironment } from '../otel_environment.ts';
import type { Config, Environment } from './config.ts';
import type { Problem } from './problem.ts';

export function otelProblems(
	{ metrics, spans, logs, protocol, endpoint }: Config['otel'],
	env: Environment,
): Problem[] {
	const { configFile, signals } = readOtelEnvironment(env);
	const problems = new Map<string, Problem>();
	const add = (at: string, message: string) => problems.set(at, { at, key: undefined, message });
	if (configFile !== undefined) {
		add(configFile.variable, 'is not supported: unset it, and set otel.* or the other OTEL_* variables');
	}
	const switches = { metrics, traces: spans, logs } as const satisfies Record<OtelSignal, boolean>;
	const enabled = (Object.keys(switches) as OtelSignal[]).filter((signal) => switches[signal]);
	for (const signal of enabled) {
		const { off, unknownProtocol, protocol: ofSignal, endpoint: variable } = signals[signal];
		if (off !== undefined) continue;
		if (protocol === undefined && unknownProtocol !== undefined) {
			add(unknownProtocol.variable, protocolError(unknownProtocol.value));
		}
		// with gRPC it can be HOST:PORT
		if (endpoint !== undefined || variable === undefined || (protocol ?? ofSignal) === 'grpc') continue;
		if (!/^https?:$/.test(URL.parse(variable.value)?.protocol ?? '')) {
			add(variable.variable, 'must be a URL such as http://127.0.0.1:4318');
		}
	}
	return [...problems.values()];
}
