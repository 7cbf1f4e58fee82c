// SPDX-License-Identifier: Apache-2.0
/**
 * Sums of traffic in plain integers, with which the daemon's own sums, in 64-bit words that wrap,
 * are compared.
 */
import type { Traffic } from '../../../daemon/model/traffic.ts';
import { noTraffic, trafficFields } from '../../../daemon/model/traffic.ts';

export type Sum = { -readonly [Field in keyof Traffic]: Traffic[Field] };

export const emptySum = (): Sum => ({ ...noTraffic });

export function addTo(sum: Sum, traffic: Traffic): void {
	for (const field of trafficFields) sum[field] += traffic[field];
}

export function subtract(from: Traffic, base: Traffic): Traffic {
	const rest = { ...from } as Sum;
	for (const field of trafficFields) rest[field] -= base[field];
	return rest;
}
