// SPDX-License-Identifier: Apache-2.0
/**
 * Reads the Grafana dashboard for tests: its panels, and its queries in a form that Prometheus
 * accepts.
 */
import { readFileSync } from 'node:fs';

interface GridPosition {
	readonly x: number;
	readonly y: number;
	readonly w: number;
	readonly h: number;
}

export interface DashboardPanel {
	readonly id: number;
	readonly type: string;
	readonly title: string;
	readonly description?: string;
	readonly gridPos: GridPosition;
	readonly datasource?: { readonly type: string; readonly uid: string };
	readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
	readonly options?: { readonly yAxis?: { readonly unit?: string } };
	readonly targets?: readonly {
		readonly refId: string;
		readonly expr: string;
		readonly datasource: { readonly uid: string };
	}[];
}

export interface Dashboard {
	readonly title: string;
	readonly schemaVersion: number;
	readonly panels: readonly DashboardPanel[];
	readonly templating: {
		readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[];
	};
}

/** The values that Grafana would substitute for its variables. */
const variables: Readonly<Record<string, string>> = {
	$__rate_interval: '1m',
	$__range: '1m',
	$instance: '.*',
	$listener: '.*',
};

export function readDashboard(): Dashboard {
	return JSON.parse(
		readFileSync(new URL('../../../deploy/grafana/toascope.json', import.meta.url), 'utf8'),
	) as Dashboard;
}

/**
 * Returns every query of the dashboard with the title of its panel. Throws for a variable that has
 * no value here.
 */
export function dashboardQueries(dashboard: Dashboard = readDashboard()): { panel: string; expr: string }[] {
	return dashboard.panels.flatMap(({ title, targets = [] }) =>
		targets.map(({ expr }) => ({
			panel: title,
			expr: expr.replace(/\$\w+/g, (name) => {
				const value = variables[name];
				if (value === undefined) throw new Error(`${title}: the variable ${name} has no value`);
				return value;
			}),
		})),
	);
}
