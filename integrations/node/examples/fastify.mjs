// SPDX-License-Identifier: Apache-2.0
/** Fastify: the client in the response, and in every line of a request's log. */
import { clientOf } from '@toascope/node';
import Fastify from 'fastify';

const app = Fastify({
	logger: { serializers: { req: (request) => ({ url: request.url, client: clientOf(request) ?? request.ip }) } },
});

app.get('/*', async (request) => ({ client: clientOf(request)?.address ?? request.ip }));

await app.listen({ host: '0.0.0.0', port: Number(process.env.PORT ?? 3000) });
