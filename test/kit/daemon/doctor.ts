// SPDX-License-Identifier: Apache-2.0
/** Runs `toascope doctor` against a daemon, and finds checks in its report. */
import { expect } from 'vitest';
import type { Check } from '../../../daemon/doctor/check.ts';
import { type CommandResult, toascope } from './command.ts';
import type { Daemon } from './daemon.ts';

export interface DoctorReport {
	readonly running: boolean;
	readonly can_run: boolean;
	readonly checks: readonly Check[];
}

export async function examine(
	daemon: Daemon,
	...args: string[]
): Promise<DoctorReport & { code: CommandResult['code'] }> {
	const { code, out, err } = await toascope(['doctor', '--json', '--config', daemon.configFile, ...args]);
	expect(err).toBe('');
	return { code, ...(JSON.parse(out) as DoctorReport) };
}

export function checkNamed(report: DoctorReport, name: string): Check {
	const found = report.checks.find((check) => check.name === name);
	if (found === undefined) throw new Error(`no check ${name}: ${JSON.stringify(report)}`);
	return found;
}
