// SPDX-License-Identifier: Apache-2.0
/** Encodes a span: message Span of opentelemetry/proto/trace/v1/trace.proto. */
import type { AddAttribute, Attributes } from '../connection_attributes.ts';
import { Span_SpanKind, Status_StatusCode } from '../proto/trace.gen.ts';
import { fixed64, lengthDelimited, ProtobufWriter, varint } from '../protobuf_writer.ts';

export interface ConnectionSpan {
	readonly name: string;
	/** In hexadecimal. */
	readonly traceId: string;
	readonly spanId: string;
	readonly traceState: string;
	/** Unix nanoseconds. */
	readonly startNs: bigint;
	readonly endNs: bigint;
	readonly isError: boolean;
	readonly attributes: Attributes;
	readonly events: readonly { readonly name: string; readonly timeNs: bigint }[];
}

const field = {
	traceId: lengthDelimited(1),
	spanId: lengthDelimited(2),
	traceState: lengthDelimited(3),
	name: lengthDelimited(5),
	kind: varint(6),
	start: fixed64(7),
	end: fixed64(8),
	attribute: lengthDelimited(9),
	event: lengthDelimited(11),
	status: lengthDelimited(15),
	/** Number 16 and wire type fixed32: two bytes as a varint. */
	flags: (16 << 3) | 5,
} as const;
const eventField = { time: fixed64(1), name: lengthDelimited(2) } as const;
const statusField = { code: varint(3) } as const;

/**
 * The flags of W3C Trace Context: sampled, and the trace id has random bits; and of OTLP: the parent
 * is known not to be remote.
 */
const flags = 0x01 | 0x02 | 0x100;
const errorStatus = Uint8Array.of(statusField.code, Status_StatusCode.ERROR);

export class SpanWriter {
	readonly #out = new ProtobufWriter();
	readonly #event = new ProtobufWriter();
	readonly #addAttribute: AddAttribute = (name, value) => this.#out.attribute(field.attribute, name, value);

	/** The span, until the next call. */
	encode(span: ConnectionSpan): ProtobufWriter {
		const { name, traceId, spanId, traceState, startNs, endNs, isError, attributes, events } = span;
		const out = this.#out;
		out.begin();
		out.id(field.traceId, traceId);
		out.id(field.spanId, spanId);
		out.text(field.traceState, traceState);
		out.text(field.name, name);
		// a root of kind SERVER would make toascope a service of its own in service graphs, with the
		// rate of the server's connections
		out.integer(field.kind, Span_SpanKind.INTERNAL);
		out.fixed64(field.start, startNs);
		out.fixed64(field.end, endNs);
		attributes(this.#addAttribute);
		for (const event of events) this.#addEvent(event);
		if (isError) out.message(field.status, errorStatus);
		out.fixed32(field.flags, flags);
		return out;
	}

	#addEvent({ name, timeNs }: ConnectionSpan['events'][number]): void {
		this.#event.begin();
		this.#event.fixed64(eventField.time, timeNs);
		this.#event.text(eventField.name, name);
		this.#out.embed(field.event, this.#event);
	}
}
