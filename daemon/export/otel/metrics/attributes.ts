// SPDX-License-Identifier: Apache-2.0
/** The attributes of a data point, from the labels of its series. */
import { create } from '@bufbuild/protobuf';
import type { Series } from '../../../model/series.ts';
import { labelAttributes } from '../../metric_labels.ts';
import type { Labels } from '../../point.ts';
import { type KeyValue, KeyValueSchema } from '../proto/common.gen.ts';

export type AttributeValue = string | bigint;

/** The attributes by name; `metric`: the name in Prometheus of the metric that has the labels. */
export function attributesOf(metric: string, labels: Labels): Record<string, AttributeValue> {
	const attributes: Record<string, AttributeValue> = {};
	for (const [label, value] of Object.entries(labels)) {
		if (label === 'listener') Object.assign(attributes, listenerAttributes(value));
		else attributes[labelAttributes[label] ?? `${metric.slice(0, metric.indexOf('_'))}.${label}`] = value;
	}
	return attributes;
}

/** `ADDR:PORT`, with IPv6 in brackets, as an address and a port; `other` has no port. */
function listenerAttributes(listener: string): Record<string, AttributeValue> {
	const [, address = listener, port] = /^\[?(.*?)\]?:(\d+)$/.exec(listener) ?? [];
	return { 'server.address': address, ...(port !== undefined && { 'server.port': BigInt(port) }) };
}

export function keyValues(attributes: Readonly<Record<string, AttributeValue>>): KeyValue[] {
	return Object.entries(attributes).map(([key, value]) =>
		create(KeyValueSchema, {
			key,
			value: {
				value: typeof value === 'bigint' ? { case: 'intValue', value } : { case: 'stringValue', value },
			},
		}),
	);
}

export function seriesAttributes({ client, listener }: Series): KeyValue[] {
	return keyValues(attributesOf('toascope_client', { client, listener }));
}
