// SPDX-License-Identifier: Apache-2.0
/** Where telemetry goes over OTLP, whether it is accepted, and what was rejected. */
import type { OtlpJson, StatusJson } from '../api/status.ts';
import type { Status } from '../client/status.ts';
import { type Check, check } from './check.ts';
import { number } from './tally.ts';

const titles = { metrics: 'OTLP metrics', traces: 'OTLP spans', logs: 'OTLP connection records' } as const;
const items = { metrics: 'data points', traces: 'spans', logs: 'records' } as const;

/** An older rejection is only counted. */
const recentMs = 3_600_000;

/** One finding for each signal that the daemon sends, or would send without a variable. */
export function telemetryChecks({ otlp = [], otlp_off: off = {}, span_sampling = null }: Status): Check[] {
	const disabled = Object.entries(off) as [OtlpJson['signal'], string][];
	return [
		...otlp.map((one) => signalCheck(one, span_sampling)),
		...disabled.map(([signal, by]) => check(`otlp.${signal}`, titles[signal], 'warn', `not sent: ${by} disables them`)),
	];
}

const percent = (ratio: number) => `${Number((100 * ratio).toPrecision(3))} %`;

function signalCheck(status: OtlpJson, sampling: StatusJson['span_sampling']): Check {
	const { signal, url, exported, rejected, failing, rejection } = status;
	const finding = (state: Check['state'], found: string, advice?: string) =>
		check(`otlp.${signal}`, titles[signal], state, found, advice);
	const accepted = `${number(BigInt(exported))} ${items[signal]} accepted`;
	if (failing !== null) {
		const advice =
			signal === 'metrics'
				? 'check otel.endpoint, the network and the receiver; the next request that is accepted has the counts of those that failed'
				: `check otel.endpoint, the network and the receiver; ${items[signal]} that do not fit in the queue are dropped, and counted in toascope_drops_total`;
		return finding(
			'warn',
			`${url} has not accepted them since ${failing.at}: ${failing.message} (${accepted})`,
			advice,
		);
	}
	if (rejection !== null && Date.now() - Date.parse(rejection.at) < recentMs) {
		const reason = rejection.message || 'no reason given';
		const what = rejected === '0' ? 'warns' : `rejected ${number(BigInt(rejected))} of them`;
		const advice = 'the receiver names the reason; what it rejected is not sent again';
		return finding('warn', `${url} ${what}, last at ${rejection.at}: ${reason} (${accepted})`, advice);
	}
	if (signal === 'traces' && sampling !== null && sampling.current < sampling.configured) {
		const found = `connections close faster than spans can be sent: ${percent(sampling.current)} of them have a span, not ${percent(sampling.configured)} (${accepted})`;
		const advice = 'set otel.sampling.ratio to what is needed; the counters are exact in any case';
		return finding('warn', found, advice);
	}
	if (status.succeeded_at === null) return finding('ok', `sent to ${url}; nothing has been sent yet`);
	return finding('ok', `sent to ${url}: ${accepted}, the last at ${status.succeeded_at}`);
}
