// SPDX-License-Identifier: Apache-2.0
/** The attributes of a data point, from the labels of its series. */
import type { Series } from '../../../model/series.ts';
import { labelAttributes } from '../../metric_labels.ts';
import type { Labels } from '../../point.ts';
import { lengthDelimited, ProtobufWriter } from '../protobuf_writer.ts';

/** The field with the attributes of a NumberDataPoint, and of a HistogramDataPoint. */
const attributeField = { number: lengthDelimited(7), histogram: lengthDelimited(9) } as const;

/** Encoded attributes: the fields of a data point, which have another number in a histogram. */
export interface PointAttributes {
	readonly number: Uint8Array;
	readonly histogram: Uint8Array;
}

type Attributes = Readonly<Record<string, string | bigint>>;

/** `metric`: the name in Prometheus of the metric that has the labels. */
export function pointAttributes(metric: string, labels: Labels): PointAttributes {
	const attributes = attributesOf(metric, labels);
	return {
		number: encode(attributeField.number, attributes),
		histogram: encode(attributeField.histogram, attributes),
	};
}

export function seriesAttributes({ client, listener }: Series): PointAttributes {
	return pointAttributes('toascope_client', { client, listener });
}

function attributesOf(metric: string, labels: Labels): Attributes {
	const attributes: Record<string, string | bigint> = {};
	for (const [label, value] of Object.entries(labels)) {
		if (label === 'listener') Object.assign(attributes, listenerAttributes(value));
		else attributes[labelAttributes[label] ?? `${metric.slice(0, metric.indexOf('_'))}.${label}`] = value;
	}
	return attributes;
}

/** `ADDR:PORT`, with IPv6 in brackets, as an address and a port; `other` has no port. */
function listenerAttributes(listener: string): Attributes {
	const [, address = listener, port] = /^\[?(.*?)\]?:(\d+)$/.exec(listener) ?? [];
	return { 'server.address': address, ...(port !== undefined && { 'server.port': BigInt(port) }) };
}

const writer = new ProtobufWriter();

function encode(tag: number, attributes: Attributes): Uint8Array {
	writer.begin();
	for (const name in attributes) writer.attribute(tag, name, attributes[name] ?? '');
	return Buffer.from(writer.written);
}
