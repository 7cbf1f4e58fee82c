// SPDX-License-Identifier: Apache-2.0
/** Requests of OTLP with the SERVER spans of a service behind a balancer. */
import { randomBytes } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { AnyValueSchema, type KeyValue, KeyValueSchema } from '../daemon/export/otel/proto/common.gen.ts';
import { ResourceSchema } from '../daemon/export/otel/proto/resource.gen.ts';
import { ResourceSpansSchema, ScopeSpansSchema, SpanSchema } from '../daemon/export/otel/proto/trace.gen.ts';
import { ExportTraceServiceRequestSchema } from '../daemon/export/otel/proto/trace_service.gen.ts';

/** As long as an SDK's default batch. */
export const spansOfRequest = 512;

function attribute(key: string, value: string | number): KeyValue {
	return create(KeyValueSchema, {
		key,
		value: create(AnyValueSchema, {
			value: typeof value === 'string' ? { case: 'stringValue', value } : { case: 'intValue', value: BigInt(value) },
		}),
	});
}

/** The attributes that the instrumentation of node:http writes. */
function attributesOf(peer: string): KeyValue[] {
	const colon = peer.lastIndexOf(':');
	return [
		attribute('http.request.method', 'GET'),
		attribute('url.scheme', 'http'),
		attribute('url.path', '/cart/checkout'),
		attribute('server.address', 'shop.example'),
		attribute('server.port', 443),
		attribute('network.peer.address', peer.slice(0, colon)),
		attribute('network.peer.port', Number(peer.slice(colon + 1))),
		attribute('network.protocol.version', '1.1'),
		attribute('user_agent.original', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'),
		attribute('http.route', '/cart/:step'),
		attribute('http.response.status_code', 200),
	];
}

/** Encodes one request whose spans have these peers in turn, each `perPeer` times; they start now. */
export function encodeSpans(peers: readonly string[], perPeer: number): Uint8Array {
	const startTimeUnixNano = BigInt(Date.now()) * 1_000_000n;
	const spans = Array.from({ length: spansOfRequest }, (_, i) =>
		create(SpanSchema, {
			traceId: randomBytes(16),
			spanId: randomBytes(8),
			name: 'GET /cart/:step',
			kind: 2,
			startTimeUnixNano,
			endTimeUnixNano: startTimeUnixNano + 3_500_000n,
			attributes: attributesOf(peers[Math.floor(i / perPeer) % peers.length] as string),
		}),
	);
	const request = create(ExportTraceServiceRequestSchema, {
		resourceSpans: [
			create(ResourceSpansSchema, {
				resource: create(ResourceSchema, { attributes: [attribute('service.name', 'shop')] }),
				scopeSpans: [create(ScopeSpansSchema, { spans })],
			}),
		],
	});
	return toBinary(ExportTraceServiceRequestSchema, request);
}
