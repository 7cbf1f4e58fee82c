// SPDX-License-Identifier: Apache-2.0
/** A gRPC call to a collector that never answers ends when it is aborted, even before it began. */
import { credentials, Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createGrpcChannel } from '../../../../daemon/export/otel/grpc_channel.ts';
import type { Channel } from '../../../../daemon/export/otel/transport.ts';
import { scaleTimeout } from '../../../kit/timeouts.ts';

const path = '/hangs.Service/Call';
const server = new Server();
let channel: Channel;

beforeAll(async () => {
	const asIs = (message: Buffer) => message;
	const call = {
		path,
		requestStream: false as const,
		responseStream: false as const,
		requestSerialize: asIs,
		requestDeserialize: asIs,
		responseSerialize: asIs,
		responseDeserialize: asIs,
	};
	server.addService({ call }, { call() {} });
	const port = await new Promise<number>((resolve, reject) =>
		server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
			error ? reject(error) : resolve(bound),
		),
	);
	channel = createGrpcChannel(
		{
			url: `127.0.0.1:${port}`,
			compression: 'none',
			metadata: () => new Metadata(),
			credentials: () => credentials.createInsecure(),
		},
		path,
	);
});

afterAll(() => {
	channel.close();
	server.forceShutdown();
});

it('ends when it is aborted under way', async () => {
	const controller = new AbortController();
	const attempt = channel.attempt(new Uint8Array(1), controller.signal);
	controller.abort();
	expect((await attempt).status).not.toBe('done');
});

it('ends when it is aborted before it began', { timeout: scaleTimeout(5000) }, async () => {
	expect((await channel.attempt(new Uint8Array(1), AbortSignal.abort())).status).not.toBe('done');
});
