// SPDX-License-Identifier: Apache-2.0
/** Which requests can succeed later, and the delay that a receiver demands over gRPC. */
import { describe, expect, it } from 'vitest';
import { type ExportError, isRetryable, retryDelayMs } from '../../../../daemon/export/otel/export_error.ts';
import { readRetryDelayMs } from '../../../../daemon/export/otel/retry_info.ts';
import { busy, statusDetails } from '../../../kit/telemetry/grpc_receiver.ts';

const errorOf = (...args: Parameters<typeof busy>) => Object.assign(new Error('busy'), busy(...args)) as ExportError;

describe('the delay of a google.rpc.Status', () => {
	it.each([
		[0, 0],
		[1, 1],
		[1500, 1500],
		[60_000, 60_000],
		// a receiver cannot end the export by mistake
		[86_400_000, 3_600_000],
		[-5000, 0],
	])('%i ms: %i ms', (delayMs, expected) => {
		expect(readRetryDelayMs(statusDetails(delayMs))).toBe(expected);
	});

	it('is not known without RetryInfo, or if the message is malformed', () => {
		expect(readRetryDelayMs(new Uint8Array())).toBeUndefined();
		const details = statusDetails(1500);
		for (let length = 1; length < details.length; length++) {
			const error = Object.assign(new Error('busy'), { metadata: { get: () => [details.subarray(0, length)] } });
			expect(retryDelayMs(error), `${length} bytes`).toBeUndefined();
		}
	});
});

it.each(['ECONNREFUSED', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'CERT_HAS_EXPIRED', 'EPROTO'])(
	'%s is retryable: the request has not reached the receiver',
	(code) => {
		expect(isRetryable(Object.assign(new Error(code), { code }))).toBe(true);
	},
);

it.each([
	['UNAVAILABLE', undefined, true],
	['UNAVAILABLE', 100, true],
	['RESOURCE_EXHAUSTED', undefined, false],
	['RESOURCE_EXHAUSTED', 100, true],
	['INVALID_ARGUMENT', 100, false],
] as const)('%s with the delay %s is retryable: %s', (code, delayMs, expected) => {
	expect(isRetryable(errorOf(code, delayMs))).toBe(expected);
	expect(retryDelayMs(errorOf(code, delayMs))).toBe(delayMs);
});
