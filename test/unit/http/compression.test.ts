// SPDX-License-Identifier: Apache-2.0
/** JSON responses, compressed where the caller accepts it, and the modules that HTTP loads. */
import { execFileSync } from 'node:child_process';
import { gunzipSync } from 'node:zlib';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createHttp } from '../../../daemon/http/app.ts';
import { batchMax } from '../../../daemon/http/query.ts';
import { fixtureExporter, fixtureView } from '../../kit/model/view.ts';

let app: FastifyInstance;

beforeAll(() => {
	const view = fixtureView();
	app = createHttp({ view, metrics: fixtureExporter(view.snapshot), logger: pino({ level: 'silent' }) });
});
afterAll(() => app.close());

const ask = (queries: number, encodings?: string) =>
	app.inject({
		method: 'POST',
		url: '/v1/connections',
		payload: { queries: Array.from({ length: queries }, () => ({ peer: '10.0.0.1:4711' })) },
		headers: encodings === undefined ? {} : { 'accept-encoding': encodings },
	});

describe('a large response', () => {
	it('is compressed for a caller that accepts gzip', async () => {
		const bare = await ask(batchMax);
		const compressed = await ask(batchMax, 'br, gzip');
		expect(compressed.headers).toMatchObject({
			'content-encoding': 'gzip',
			'content-length': String(compressed.rawPayload.length),
			'content-type': 'application/json; charset=utf-8',
			vary: 'accept-encoding',
		});
		expect(gunzipSync(compressed.rawPayload).toString()).toBe(bare.body);
		expect(compressed.rawPayload.length).toBeLessThan(bare.rawPayload.length / 10);
	});

	it.each([undefined, 'br', 'gzip;q=0', 'identity, gzip;q=0.5'])('is not compressed for %s', async (encodings) => {
		const { headers, body } = await ask(batchMax, encodings);
		expect(headers['content-encoding']).toBeUndefined();
		expect(headers.vary).toBe('accept-encoding');
		expect(JSON.parse(body).results).toHaveLength(batchMax);
	});
});

it('a short response is not compressed', async () => {
	const { headers, body } = await ask(0, 'gzip');
	expect(headers['content-encoding']).toBeUndefined();
	expect(JSON.parse(body)).toEqual({ results: [] });
});

it('loads neither a WebSocket client nor schema compilers', () => {
	const url = new URL('../../../daemon/http/app.ts', import.meta.url);
	const script = `import { createRequire } from 'node:module';
		const { createHttp } = await import('${url}');
		createHttp({ view: {}, metrics: {}, logger: { info() {}, error() {}, debug() {}, fatal() {}, warn() {}, trace() {}, child() {} } });
		console.log(JSON.stringify([...process.moduleLoadList, ...Object.keys(createRequire('${url}').cache)]));`;
	const printed = execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
	const loaded = JSON.parse(printed) as string[];
	expect(loaded).toContain('NativeModule http');
	expect(loaded.some((name) => name.includes('/node_modules/fastify/'))).toBe(true);
	expect(loaded.filter((name) => /undici|\/node_modules\/ajv\//.test(name))).toEqual([]);
});
