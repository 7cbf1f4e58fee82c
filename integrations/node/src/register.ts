// SPDX-License-Identifier: Apache-2.0
/**
 * `node --import @toascope/node/register app.js`: names the client on the SERVER spans of
 * `@opentelemetry/instrumentation-http`, without a line of code.
 *
 * A listener for `request` is put before those of each server of `node:http` and `node:https`. The
 * instrumentation starts its span before the server's listeners run, and runs them in the span's
 * context, so the active span is the one of the request. Hence the order of the `--import` options
 * does not matter, and neither does which SDK made the span.
 *
 * TOASCOPE_NODE_POLICY is the policy (`always`, `absent`); default: `always`.
 */
import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage, Server } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { clientOf } from './client.ts';
import { nameClient, type Policy, type ServerSpan, serverKind } from './server_span.ts';

/** The part of `@opentelemetry/api` that is used. */
interface Api {
	readonly trace: { getActiveSpan(): unknown };
}

const policy: Policy = process.env['TOASCOPE_NODE_POLICY'] === 'absent' ? 'absent' : 'always';

/** Undefined before the first request, null if it cannot be found. */
let api: Api | null | undefined;

/**
 * Finds `@opentelemetry/api` from here, from the application's script and from the working
 * directory. Any copy will do: all copies share one state.
 */
function findApi(): Api | null {
	const directory = pathToFileURL(`${process.cwd()}/`).href;
	const script = process.argv[1] === undefined ? directory : pathToFileURL(process.argv[1]).href;
	for (const from of [import.meta.url, script, directory]) {
		try {
			return createRequire(from)('@opentelemetry/api') as Api;
		} catch {
			// it is not installed there
		}
	}
	return null;
}

function isRecordingServerSpan(span: unknown): span is ServerSpan {
	const { kind, attributes } = (span ?? {}) as Partial<ServerSpan>;
	return kind === serverKind && typeof attributes === 'object';
}

function nameClientOfRequest(request: IncomingMessage): void {
	if (api === undefined) api = findApi();
	const span = api?.trace.getActiveSpan();
	if (!isRecordingServerSpan(span)) return;
	const client = clientOf(request);
	if (client !== undefined) nameClient(span, client, policy);
}

subscribe('http.server.request.start', (message) => {
	const { server } = message as { readonly server: Server };
	// each time: Socket.IO and others remove all listeners of a server, and call them themselves
	if (server.listenerCount('request', nameClientOfRequest) === 0)
		server.prependListener('request', nameClientOfRequest);
});
