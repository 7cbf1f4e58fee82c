// SPDX-License-Identifier: Apache-2.0
/**
 * A process that exports as many series as toascope has for so many clients, by the OpenTelemetry
 * SDK: `sdk_metrics.ts URL CLIENTS SECONDS`. Prints what an export cost as JSON.
 */
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';

const [url = '', clients = '0', seconds = '0'] = process.argv.slice(2);
const exportMs = 1000;
const attributes = Array.from({ length: Number(clients) }, (_, i) => ({
	'client.address': `2001:db8:c::${i.toString(16)}`,
	'server.address': '192.0.2.10',
	'server.port': 443,
}));

let exports = 0;
let points = 0;
const exporter = new OTLPMetricExporter({ url: `${url}/v1/metrics` });
const send = exporter.export.bind(exporter);
exporter.export = (metrics, done) => {
	exports++;
	points = metrics.scopeMetrics.flatMap((scope) => scope.metrics).reduce((sum, one) => sum + one.dataPoints.length, 0);
	send(metrics, done);
};
const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: exportMs });
// without it, all beyond 2,000 attribute sets would be one series
const limit = { aggregationCardinalityLimit: Number(clients) + 1, instrumentName: '*' };
const meter = new MeterProvider({ readers: [reader], views: [limit] }).getMeter('bench');

/** Counters, a gauge and two distributions, like those of a client. */
const names = ['connections.opened', 'connections.closed', 'received', 'sent', 'retransmitted'];
for (const name of names) {
	meter.createObservableCounter(`toascope.client.${name}`).addCallback((result) => {
		for (const each of attributes) result.observe(12_345, each);
	});
}
meter.createObservableGauge('toascope.client.connections.active').addCallback((result) => {
	for (const each of attributes) result.observe(3, each);
});
const rtt = meter.createHistogram('toascope.client.rtt', { advice: { explicitBucketBoundaries: [] } });
const duration = meter.createHistogram('toascope.client.connection.duration', {
	advice: { explicitBucketBoundaries: [] },
});
for (const each of attributes) {
	rtt.record(0.01, each);
	duration.record(1.5, each);
}

// the first exports compile what the later ones use
await new Promise((resolve) => setTimeout(resolve, 3 * exportMs));
const [before, already] = [process.cpuUsage(), exports];
await new Promise((resolve) => setTimeout(resolve, Number(seconds) * 1000));
const { user, system } = process.cpuUsage(before);
const msPerExport = (user + system) / 1000 / Math.max(1, exports - already);
process.stdout.write(JSON.stringify({ msPerExport, mb: process.memoryUsage.rss() / 1e6, points }));
process.exit(0);
