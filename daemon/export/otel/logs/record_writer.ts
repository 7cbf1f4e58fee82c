// SPDX-License-Identifier: Apache-2.0
/** Encodes a log record: message LogRecord of opentelemetry/proto/logs/v1/logs.proto. */
import type { AddAttribute, Attributes } from '../connection_attributes.ts';
import { SeverityNumber } from '../proto/logs.gen.ts';
import { fixed32, fixed64, lengthDelimited, ProtobufWriter, varint } from '../protobuf_writer.ts';

export interface LogRecord {
	readonly eventName: string;
	/** Unix nanoseconds. */
	readonly timeNs: bigint;
	readonly observedNs: bigint;
	/** In hexadecimal. */
	readonly traceId: string;
	readonly spanId: string;
	/** The trace is known to be sampled. */
	readonly sampled: boolean;
	readonly attributes: Attributes;
}

const field = {
	time: fixed64(1),
	severity: varint(2),
	attribute: lengthDelimited(6),
	flags: fixed32(8),
	traceId: lengthDelimited(9),
	spanId: lengthDelimited(10),
	observedTime: fixed64(11),
	eventName: lengthDelimited(12),
} as const;

const sampledFlag = 1;

export class RecordWriter {
	readonly #out = new ProtobufWriter();
	readonly #addAttribute: AddAttribute = (name, value) => this.#out.attribute(field.attribute, name, value);

	/** The record, until the next call. */
	encode({ eventName, timeNs, observedNs, traceId, spanId, sampled, attributes }: LogRecord): ProtobufWriter {
		const out = this.#out;
		out.begin();
		out.fixed64(field.time, timeNs);
		out.integer(field.severity, SeverityNumber.INFO);
		attributes(this.#addAttribute);
		if (sampled) out.fixed32(field.flags, sampledFlag);
		out.id(field.traceId, traceId);
		out.id(field.spanId, spanId);
		out.fixed64(field.observedTime, observedNs);
		out.text(field.eventName, eventName);
		return out;
	}
}
