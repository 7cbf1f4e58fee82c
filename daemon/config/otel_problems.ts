// SPDX-License-Identifier: Apache-2.0
/**
 * The OTEL_* variables with which the signals that are enabled could not be sent. Other variables
 * that cannot be used have a default, and are logged.
 */
import { protocolError, readOtelEnvironment } from '../otel_environment.ts';
import { enabledSignals } from '../otel_signals.ts';
import type { Config, Environment } from './config.ts';
import type { Problem } from './problem.ts';

export function otelProblems(config: Config['otel'], env: Environment): Problem[] {
	const { protocol, endpoint } = config;
	const { configFile, signals } = readOtelEnvironment(env);
	const problems = new Map<string, Problem>();
	const add = (at: string, message: string) => problems.set(at, { at, key: undefined, message });
	if (configFile !== undefined) {
		add(configFile.variable, 'is not supported: unset it, and set otel.* or the other OTEL_* variables');
	}
	for (const signal of enabledSignals(config)) {
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
