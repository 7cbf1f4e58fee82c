// SPDX-License-Identifier: Apache-2.0
/**
 * A collector that is a separate process, so that it can be killed: `collector.ts PORT` (0: a free
 * port). It writes a line of JSON with its endpoint, and then one for each request: `[[port of the
 * listener, client], ...]`.
 */
import { startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';

const receiver = await startOtlpReceiver(undefined, { port: Number(process.argv[2] ?? 0) });
console.log(JSON.stringify(receiver.endpoint));
let reported = 0;
for (let requests = 1; ; requests++) {
	await receiver.waitForRequests(requests, 2 ** 31 - 1);
	const spans = receiver.spans.slice(reported);
	reported += spans.length;
	const lines = spans.map(({ attributes: of }) => [
		Number(of['server.port']),
		`${of['client.address']} ${of['client.port']}`,
	]);
	console.log(JSON.stringify(lines));
}
