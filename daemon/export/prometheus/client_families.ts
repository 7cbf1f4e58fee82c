// SPDX-License-Identifier: Apache-2.0
/**
 * The per-client families: thousands of series, so their lines are put together by hand. One
 * series' labels are written once and used by all families.
 */
import type { ClientSeries, Traffic } from '../../model/snapshot.ts';
import { type MetricName, metricDefinition } from '../metric_table.ts';
import type { Family } from './family.ts';
import { escapeLabelValue, formatInteger, formatSeconds } from './text.ts';

type Value = (traffic: Traffic) => string;

/** In order: name of the family, and of each sample its suffix and value. */
const families: readonly (readonly [MetricName, readonly (readonly [suffix: string, value: Value])[]])[] = [
	['toascope_client_connections_opened_total', [['', ({ opened }) => formatInteger(opened)]]],
	['toascope_client_connections_closed_total', [['', ({ closed }) => formatInteger(closed)]]],
	['toascope_client_connections_active', [['', ({ opened, closed }) => formatInteger(opened - closed)]]],
	['toascope_client_received_bytes_total', [['', ({ receivedBytes }) => formatInteger(receivedBytes)]]],
	['toascope_client_sent_bytes_total', [['', ({ sentBytes }) => formatInteger(sentBytes)]]],
	[
		'toascope_client_retransmitted_segments_total',
		[['', ({ retransmittedSegments }) => formatInteger(retransmittedSegments)]],
	],
	[
		'toascope_client_rtt_seconds',
		[
			['_sum', ({ rttSumNs }) => formatSeconds(rttSumNs)],
			['_count', ({ rttCount }) => formatInteger(rttCount)],
		],
	],
	[
		'toascope_client_connection_duration_seconds',
		[
			['_sum', ({ durationSumNs }) => formatSeconds(durationSumNs)],
			['_count', ({ closed }) => formatInteger(closed)],
		],
	],
];

/** Lines given out together: one string for each would cost a quarter more time. */
const batchLength = 4096;

/** The families of these series. Each family's lines can be iterated once. */
export function clientFamilies(series: readonly ClientSeries[]): Family[] {
	const labels: string[] = [];
	const listeners = new Map<string, string>();
	const labelsOf = (index: number, { client, listener }: ClientSeries): string => {
		let end = listeners.get(listener);
		if (end === undefined) {
			end = `",listener="${escapeLabelValue(listener)}"} `;
			listeners.set(listener, end);
		}
		const text = `{client="${escapeLabelValue(client)}${end}`;
		labels[index] = text;
		return text;
	};

	function* lines(name: string, samples: readonly (readonly [string, Value])[]): Generator<string> {
		const parts = samples.map(([suffix, value]) => ({ name: name + suffix, value }));
		let index = 0;
		let batch = '';
		for (const one of series) {
			const text = labels[index] ?? labelsOf(index, one);
			for (const part of parts) batch += `${part.name}${text}${part.value(one.traffic)}\n`;
			index++;
			if (batch.length < batchLength) continue;
			yield batch;
			batch = '';
		}
		if (batch !== '') yield batch;
	}

	return families.map(([name, samples]) => ({ head: metricDefinition(name), lines: lines(name, samples) }));
}
