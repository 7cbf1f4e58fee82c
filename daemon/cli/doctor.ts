// SPDX-License-Identifier: Apache-2.0
/** `toascope doctor`: what this host can do, what works, and why the rest does not. */
import { existsSync } from 'node:fs';
import { arch, release } from 'node:os';
import { readMounts } from '../capture/mounts.ts';
import type { Config } from '../config/config.ts';
import { defaultConfig, defaultPath, loadConfig } from '../config/load.ts';
import { examine } from '../doctor/examine.ts';
import { readHost } from '../doctor/host.ts';
import { formatReport } from '../doctor/report.ts';
import { exitCode, ToascopeError } from '../errors.ts';
import { version } from '../version.ts';

export interface DoctorOptions {
	readonly json?: boolean | undefined;
	readonly config?: string | undefined;
	readonly out?: { write(text: string): unknown; readonly isTTY?: boolean };
}

/** Prints the findings. Returns 0 when toascope can run here, 2 when the configuration is wrong, 3 when it cannot. */
export async function doctor({ json, config: path, out = process.stdout }: DoctorOptions): Promise<number> {
	const { config, error } = read(path);
	const checks = await examine({
		host: readHost(release(), arch(), readMounts()),
		config,
		file: path ?? (existsSync(defaultPath) ? defaultPath : undefined),
		configError: error,
		version,
	});
	const runs = checks.every(({ state }) => state !== 'fail');
	const colours = out.isTTY === true && process.env.NO_COLOR === undefined;
	out.write(
		json === true
			? `${JSON.stringify({ version, can_run: runs, checks }, undefined, 2)}\n`
			: formatReport(checks, colours),
	);
	if (error !== undefined) return exitCode.usage;
	return runs ? exitCode.done : exitCode.unsupported;
}

function read(path: string | undefined): { config: Config; error: Error | undefined } {
	try {
		return { config: loadConfig({ path, env: process.env }), error: undefined };
	} catch (error) {
		if (!(error instanceof ToascopeError)) throw error;
		return { config: defaultConfig(), error };
	}
}
