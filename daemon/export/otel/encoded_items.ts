// SPDX-License-Identifier: Apache-2.0
/**
 * The items of a request, metrics, spans or log records, encoded one behind the other. With a buffer
 * for each, ten thousand connections a second would leave 10 MB a second to garbage collection.
 */
import { lengthDelimited, ProtobufWriter } from './protobuf_writer.ts';

/** The field of ScopeMetrics, ScopeSpans and ScopeLogs that has their items. */
const itemField = lengthDelimited(2);

export class EncodedItems {
	readonly #out = new ProtobufWriter();
	#count = 0;

	get count(): number {
		return this.#count;
	}

	/** Their fields, until the next call of add() or clear(). */
	get fields(): Uint8Array {
		return this.#out.written;
	}

	/** Adds a message Metric, Span or LogRecord: what the writer has written since its begin(). */
	add(message: ProtobufWriter): void {
		this.#out.embed(itemField, message);
		this.#count++;
	}

	clear(): void {
		this.#out.begin();
		this.#count = 0;
	}
}
