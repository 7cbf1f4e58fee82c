// SPDX-License-Identifier: Apache-2.0
/**
 * The Grafana dashboard: it queries metrics that exist, by labels that they have, and its panels
 * are in order.
 */
import { describe, expect, it } from 'vitest';
import { type MetricDefinition, metricTable } from '../../../daemon/export/metric_table.ts';
import { type DashboardPanel, dashboardQueries, readDashboard } from '../../kit/telemetry/dashboard.ts';

const dashboard = readDashboard();
const queries = dashboardQueries(dashboard);
const shown = dashboard.panels.filter((panel) => panel.type !== 'row');

/** Names of series, and the labels that each has. */
const series = new Map<string, ReadonlySet<string>>(
	(metricTable as readonly MetricDefinition[]).flatMap(({ name, type, labels }) => {
		const own = new Set([...labels, 'instance', 'job']);
		if (type === 'counter' || type === 'gauge') return [[name, own]];
		const parts: [string, ReadonlySet<string>][] = [
			[`${name}_sum`, own],
			[`${name}_count`, own],
		];
		return type === 'histogram' ? [...parts, [`${name}_bucket`, new Set([...own, 'le'])]] : parts;
	}),
);
/** Default metrics of prom-client. */
const process = new Set([
	'process_cpu_seconds_total',
	'process_resident_memory_bytes',
	'nodejs_eventloop_lag_p99_seconds',
]);

function metricsOf(expr: string): string[] {
	return expr.match(/\b(?:toascope|process|nodejs)_[a-z0-9_]+/g) ?? [];
}

/** Labels that a query selects, groups or joins by. */
function labelsOf(expr: string): string[] {
	const selected = [...expr.matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)\s*"/g)].map(([, label = '']) => label);
	const grouped = [...expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/,\s*/));
	return [...selected, ...grouped];
}

describe('the queries', () => {
	it.each(queries)('$panel: $expr', ({ expr }) => {
		const metrics = metricsOf(expr);
		expect(metrics).not.toEqual([]);
		for (const metric of metrics) expect(series.has(metric) || process.has(metric), metric).toBe(true);
		const known = new Set(metrics.flatMap((metric) => [...(series.get(metric) ?? [])]));
		for (const label of labelsOf(expr)) expect(known, `label ${label}`).toContain(label);
	});

	it('use counters in rate() or increase(), or as a difference of two', () => {
		const counters = [...series.keys()].filter((name) => /_(?:total|bucket|sum|count)$/.test(name));
		for (const { panel, expr } of queries) {
			for (const metric of metricsOf(expr).filter((name) => counters.includes(name))) {
				const wrapped = new RegExp(`(?:rate|increase)\\(${metric}\\{`).test(expr);
				const difference = /connections_opened_total\{.* - .*connections_closed_total\{/.test(expr);
				expect(wrapped || difference, `${panel}: ${metric}`).toBe(true);
			}
		}
	});

	it.each([
		'toascope_program_attached',
		'toascope_attachments_lost_total',
		'toascope_snapshot_timestamp_seconds',
		'toascope_task_failures_total',
	])('show %s, which reveals a daemon that observes nothing', (metric) => {
		expect(queries.filter(({ expr }) => metricsOf(expr).includes(metric))).toHaveLength(1);
	});

	it('of the variables use metrics that exist', () => {
		const asked = dashboard.templating.list.flatMap(({ definition = '' }) => metricsOf(definition));
		expect(asked).toHaveLength(2);
		for (const metric of asked) expect(series.has(metric), metric).toBe(true);
	});
});

describe('the panels', () => {
	it('follow the data source variable', () => {
		expect(dashboard.templating.list.map(({ name }) => name)).toEqual(['datasource', 'instance', 'listener']);
		for (const panel of shown) {
			for (const source of [panel.datasource, ...(panel.targets ?? []).map((target) => target.datasource)]) {
				expect(source?.uid, panel.title).toBe(`\${datasource}`);
			}
		}
	});

	it('have a unit, a description, a query and a title of their own', () => {
		for (const panel of shown) {
			const unit = panel.type === 'heatmap' ? panel.options?.yAxis?.unit : panel.fieldConfig?.defaults.unit;
			expect(unit, panel.title).toBeTruthy();
			expect(panel.description, panel.title).toBeTruthy();
			expect(panel.targets, panel.title).not.toEqual([]);
		}
		expect(new Set(shown.map((panel) => panel.title)).size).toBe(shown.length);
		expect(new Set(dashboard.panels.map((panel) => panel.id)).size).toBe(dashboard.panels.length);
	});

	it('stay in the grid and do not overlap', () => {
		const overlap = ({ gridPos: a }: DashboardPanel, { gridPos: b }: DashboardPanel) =>
			a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
		dashboard.panels.forEach((panel, index) => {
			const { x, w, h } = panel.gridPos;
			expect(x >= 0 && w > 0 && h > 0 && x + w <= 24, panel.title).toBe(true);
			const others = dashboard.panels.slice(index + 1).filter((other) => overlap(panel, other));
			expect(others.map((other) => `${panel.title} / ${other.title}`)).toEqual([]);
		});
	});
});
