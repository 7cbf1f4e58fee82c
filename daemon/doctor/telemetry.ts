// SPDX-License-Identifier: Apache-2.0
/** Where telemetry goes over OTLP, whether it is accepted, and what was rejected. */
import type { OtlpJson } from '../api/status.ts';
import type { Status } from '../client/status.ts';
import { type Check, check } from './check.ts';
import { number } from './tally.ts';

const titles = { metrics: 'OTLP metrics', traces: 'OTLP spans', logs: 'OTLP connection records' } as const;
const items = { metrics: 'data points', traces: 'spans', logs: 'records' } as const;

/** One finding for each signal that the daemon sends. */
export function telemetryChecks({ otlp = [] }: Status): Check[] {
	return otlp.map(signalCheck);
}

function signalCheck(status: OtlpJson): Check {
	const { signal, url, exported, rejected, failing, rejection } = status;
	const finding = (state: Check['state'], found: string, advice?: string) =>
		check(`otlp.${signal}`, titles[signal], state, found, advice);
	const accepted = `${number(BigInt(exported))} ${items[signal]} accepted`;
	if (failing !== null) {
		const advice =
			signal === 'metrics'
				? 'check otel.endpoint, the network and the receiver; no count is lost meanwhile: the next request that is accepted has them'
				: 'check otel.endpoint, the network and the receiver; what the queue has no room for is dropped, and counted in toascope_drops_total';
		return finding('warn', `${url} does not accept them since ${failing.at}: ${failing.message} (${accepted})`, advice);
	}
	if (rejection !== null) {
		const found = `${url} rejected ${number(BigInt(rejected))} of them, last at ${rejection.at}: ${rejection.message || 'no reason given'} (${accepted})`;
		return finding('warn', found, 'the receiver names the reason; what it rejected is not sent again');
	}
	if (status.succeeded_at === null) return finding('ok', `sent to ${url}; nothing has been sent yet`);
	return finding('ok', `sent to ${url}: ${accepted}, the last at ${status.succeeded_at}`);
}
