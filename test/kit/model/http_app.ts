// SPDX-License-Identifier: Apache-2.0
/** The HTTP application on a fixture's view, queried without a socket. */
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import { afterEach } from 'vitest';
import { createHttp } from '../../../daemon/http/app.ts';
import { type FixtureView, fixtureExporter, fixtureView } from './view.ts';

const apps: FastifyInstance[] = [];

export function start(view: FixtureView = fixtureView()): FastifyInstance {
	const app = createHttp({ view, metrics: fixtureExporter(view.snapshot), logger: pino({ level: 'silent' }) });
	apps.push(app);
	return app;
}

/** Call once per test file. */
export function closeAfterEach(): void {
	afterEach(async () => {
		await Promise.all(apps.splice(0).map((app) => app.close()));
	});
}

export async function get(url: string, view?: FixtureView) {
	const response = await start(view).inject(url);
	return { status: response.statusCode, body: response.json() };
}
