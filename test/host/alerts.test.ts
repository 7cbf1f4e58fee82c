// SPDX-License-Identifier: Apache-2.0
/**
 * Evaluates the alerting rules of docs/queries.md with promtool: which alerts fire in which case,
 * and which do not.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { hasPrometheus } from '../kit/telemetry/prometheus.ts';
import { pageAdvice, pageRules } from '../kit/telemetry/queries.ts';

/** The values of each series, one minute apart, in the notation of promtool. */
type Series = Readonly<Record<string, string>>;

const at = 'instance="a"';
const handshakes = (result: string) => `toascope_handshakes_total{${at},listener="192.0.2.2:80",result="${result}"}`;
const without = (peer: string, data: string) =>
	`toascope_handshakes_without_option_total{${at},listener="192.0.2.2:80",peer="${peer}",data="${data}"}`;
const drops = (reason: string) => `toascope_drops_total{${at},reason="${reason}"}`;
const up = `up{${at},job="toascope"}`;
const attached = `toascope_program_attached{${at},program="toascope_sockops"}`;
const snapshot = `toascope_snapshot_timestamp_seconds{${at}}`;
const tracked = `toascope_clients_tracked{${at}}`;
const reloaded = `toascope_config_last_reload_successful{${at}}`;

/** Per minute 60 users with TOA and 120 health checks. Times start at 0. */
const healthy: Series = {
	[up]: '1x30',
	[handshakes('toa')]: '0+60x30',
	[handshakes('none')]: '0+120x30',
	...Object.fromEntries(['untrusted', 'malformed', 'conflict'].map((result) => [handshakes(result), '0x30'])),
	[without('trusted', 'no')]: '0+120x30',
	[without('trusted', 'yes')]: '0x30',
	[without('untrusted', 'no')]: '0x30',
	[without('untrusted', 'yes')]: '0x30',
	[attached]: '1x30',
	[snapshot]: '0+60x30',
	[tracked]: '5x30',
	[`toascope_clients_capacity{${at}}`]: '100x30',
	[reloaded]: '1x30',
};

/**
 * Evaluates the rules 25 minutes and 45 seconds after the start, when the last scrape is 45 s old.
 * promtool compares the alerts that fire with `firing`. Returns the differences, or '' if there are
 * none.
 */
function check(series: Series, firing: readonly string[]): string {
	const directory = mkdtempSync(join(tmpdir(), 'toascope-alerts-'));
	try {
		writeFileSync(join(directory, 'rules.yaml'), pageRules());
		const test = {
			rule_files: ['rules.yaml'],
			evaluation_interval: '15s',
			tests: [
				{
					interval: '1m',
					input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
					promql_expr_test: [
						{
							expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
							eval_time: '25m45s',
							exp_samples: firing.map((alert) => ({ labels: `{alertname="${alert}"}`, value: 1 })),
						},
					],
				},
			],
		};
		const file = join(directory, 'test.yaml');
		// JSON is valid YAML
		writeFileSync(file, JSON.stringify(test));
		const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', file], { encoding: 'utf8' });
		return status === 0 ? '' : `${stdout}${stderr}`;
	} finally {
		rmSync(directory, { recursive: true });
	}
}

const refused = (result: string): [string, Series, string] => [
	`${result} options`,
	{ [handshakes(result)]: '0+1x30' },
	'ToascopeOptionsRefused',
];
/** The differences from `healthy`, and the alert that fires for them. */
const faults: readonly [what: string, series: Series, alert: string][] = [
	['a daemon that does not respond', { [up]: '1x10 0x20' }, 'ToascopeDown'],
	[
		'6 users a minute without TOA beside 120 health checks',
		{ [handshakes('toa')]: '0x30', [handshakes('none')]: '0+126x30', [without('trusted', 'yes')]: '0+6x30' },
		'ToascopeOptionsLost',
	],
	['6 % of the users without TOA', { [without('trusted', 'yes')]: '0+4x30' }, 'ToascopeOptionsLost'],
	...['untrusted', 'malformed', 'conflict'].map(refused),
	['a connection that is not recorded', { [drops('socket_storage')]: '0x20 1x10' }, 'ToascopeNotRecorded'],
	['a program that another process detached', { [attached]: '1x22 0x8' }, 'ToascopeDetached'],
	['a snapshot that is not renewed', { [snapshot]: '0+60x20 1200x10' }, 'ToascopeStale'],
	['a client table that is almost full', { [tracked]: '95x30' }, 'ToascopeClientsFull'],
	['a configuration that cannot be reloaded', { [reloaded]: '1x20 0x10' }, 'ToascopeReloadFailed'],
];

describe.skipIf(!hasPrometheus)('the alerts of docs/queries.md', () => {
	it('do not fire in the healthy state', () => {
		expect(check(healthy, [])).toBe('');
	});

	it.each(faults)('fire for %s', (_what, series, alert) => {
		expect(check({ ...healthy, ...series }, [alert])).toBe('');
	});

	it('are all tested here, and the page has advice for each', () => {
		const { groups } = parse(pageRules()) as { groups: { rules: { alert: string }[] }[] };
		const alerts = groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
		expect(new Set(faults.map(([, , alert]) => alert))).toEqual(new Set(alerts));
		expect(pageAdvice()).toEqual(alerts);
	});

	it.each(['ring_full', 'client_folding', 'clients_busy', 'connection_evicted'])('do not fire for %s', (reason) => {
		expect(check({ ...healthy, [drops(reason)]: '0+10x30' }, [])).toBe('');
	});

	it('do not fire for 4 % of the users without TOA', () => {
		expect(check({ ...healthy, [handshakes('toa')]: '0+96x30', [without('trusted', 'yes')]: '0+4x30' }, [])).toBe('');
	});
});
