// SPDX-License-Identifier: Apache-2.0
/** The alerting rules of docs/queries.md, judged by promtool: which of them fire at what, and which do not. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { hasPrometheus } from '../fixtures/prometheus.ts';
import { pageAdvice, pageRules } from '../fixtures/queries.ts';

/** Values a minute apart, as promtool writes them, by series. */
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

/** 60 users a minute with TOA and 120 health checks; times begin at 0. */
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
 * The alerts that fire after 25 minutes and three quarters, so the last scrape is 45 s ago. promtool compares with what is
 * expected, and says where it differs.
 */
function judge(series: Series, firing: readonly string[]): string {
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
		// YAML holds JSON
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
/** What is different from `healthy`, and the alert that fires. */
const wrong: readonly [what: string, series: Series, alert: string][] = [
	['no answer', { [up]: '1x10 0x20' }, 'ToascopeDown'],
	[
		'6 users a minute without TOA beside 120 health checks',
		{ [handshakes('toa')]: '0x30', [handshakes('none')]: '0+126x30', [without('trusted', 'yes')]: '0+6x30' },
		'ToascopeOptionsLost',
	],
	['6 % of the users without TOA', { [without('trusted', 'yes')]: '0+4x30' }, 'ToascopeOptionsLost'],
	...['untrusted', 'malformed', 'conflict'].map(refused),
	['a drop', { [drops('socket_storage')]: '0x20 1x10' }, 'ToascopeNotRecorded'],
	['a program that others detached', { [attached]: '1x22 0x8' }, 'ToascopeDetached'],
	['counters that stand still', { [snapshot]: '0+60x20 1200x10' }, 'ToascopeStale'],
	['a table that gets full', { [tracked]: '95x30' }, 'ToascopeClientsFull'],
	['a wrong file', { [reloaded]: '1x20 0x10' }, 'ToascopeReloadFailed'],
];

describe.skipIf(!hasPrometheus)('the alerts of the page', () => {
	it('are silent while all is well', () => {
		expect(judge(healthy, [])).toBe('');
	});

	it.each(wrong)('%s', (_what, series, alert) => {
		expect(judge({ ...healthy, ...series }, [alert])).toBe('');
	});

	it('each have a row here, and one that says what to do', () => {
		const { groups } = parse(pageRules()) as { groups: { rules: { alert: string }[] }[] };
		const alerts = groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
		expect(new Set(wrong.map(([, , alert]) => alert))).toEqual(new Set(alerts));
		expect(pageAdvice()).toEqual(alerts);
	});

	it.each(['ring_full', 'client_folding', 'clients_busy', 'connection_evicted'])('%s wakes nobody', (reason) => {
		expect(judge({ ...healthy, [drops(reason)]: '0+10x30' }, [])).toBe('');
	});

	it('4 % of the users without TOA wake nobody', () => {
		expect(judge({ ...healthy, [handshakes('toa')]: '0+96x30', [without('trusted', 'yes')]: '0+4x30' }, [])).toBe('');
	});
});
