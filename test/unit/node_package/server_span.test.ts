// SPDX-License-Identifier: Apache-2.0
/** How a client is named on spans of the real SDK, by the policy. */
import '../../kit/node_package/built.ts';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { type Attributes, SpanKind } from '@opentelemetry/api';
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { expect, it } from 'vitest';
import { clientAttributes, incomingSpanHook, ToascopeSpanProcessor } from '../../../integrations/node/src/index.ts';
import { nameClient, type Policy, type ServerSpan } from '../../../integrations/node/src/server_span.ts';

const client = { address: '2001:db8::1', port: 21317, family: 6 } as const;
const withoutPort = { address: '203.0.113.7', port: null, family: 4 } as const;
const peer = { 'network.peer.address': '::ffff:198.51.100.7', 'network.peer.port': 28404 };

function span(attributes: Attributes, kind = SpanKind.SERVER): ServerSpan & ReadableSpan {
	const exporter = new InMemorySpanExporter();
	// the type check is a part of the test: the processor is one of the SDK
	const provider = new TracerProvider({
		spanProcessors: [new ToascopeSpanProcessor(), new SimpleSpanProcessor({ exporter })],
	});
	return provider.getTracer('test').startSpan('GET', { kind, attributes }) as unknown as ServerSpan & ReadableSpan;
}

const named = { 'client.address': client.address, 'client.port': client.port };

it.each<[string, Policy, Attributes, Attributes]>([
	['no client', 'always', {}, named],
	['no client', 'absent', {}, named],
	['the peer', 'always', { 'client.address': '::ffff:198.51.100.7' }, named],
	['the peer', 'absent', { 'client.address': '::ffff:198.51.100.7' }, named],
	['the client', 'always', { 'client.address': client.address }, named],
	['the client', 'absent', { 'client.address': client.address }, named],
	[
		'a header',
		'always',
		{ 'client.address': '192.0.2.9' },
		{ ...named, 'toascope.client.address.claimed': '192.0.2.9' },
	],
	['a header', 'absent', { 'client.address': '192.0.2.9' }, { 'client.address': '192.0.2.9' }],
])('a span that names %s, policy %s', (_, policy, attributes, expected) => {
	const one = span({ ...peer, ...attributes });
	nameClient(one, client, policy);
	expect(one.attributes).toEqual({ ...peer, ...expected });
});

it('a client without a port', () => {
	const one = span(peer);
	nameClient(one, withoutPort, 'always');
	expect(one.attributes).toEqual({ ...peer, 'client.address': '203.0.113.7' });
});

it.each([SpanKind.SERVER, SpanKind.CLIENT])('outside of a request, a span of kind %s stays as it is', (kind) => {
	expect(span(peer, kind).attributes).toEqual(peer);
});

it('without a client, nothing replaces what the instrumentation knows', () => {
	const request = new IncomingMessage(new Socket());
	expect(incomingSpanHook(request)).toEqual({});
	expect(clientAttributes(request)).toEqual({});
});
