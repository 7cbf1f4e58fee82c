// SPDX-License-Identifier: Apache-2.0
/** `toascope doctor`: what this host can do, what works, whether TOA arrives, and why the rest does not. */
import { arch, release } from 'node:os';
import { resolve } from 'node:path';
import { readMounts } from '../capture/mounts.ts';
import { inOneGo, lookForNeighbours } from '../capture/neighbours.ts';
import type { Config, Environment } from '../config/config.ts';
import { defaultConfig, defaultPath, loadConfigAndFile } from '../config/load.ts';
import { type Place, placesOf, showPlace } from '../doctor/ask.ts';
import { isDenied } from '../doctor/configuration.ts';
import { examine } from '../doctor/examine.ts';
import { readHost } from '../doctor/host.ts';
import { readMemory } from '../doctor/memory.ts';
import { formatReport } from '../doctor/report.ts';
import { type Found, findDaemon } from '../doctor/status.ts';
import { exitCode, ToascopeError } from '../errors.ts';
import { asTyped } from '../invocation.ts';
import { noColour } from '../terminal.ts';
import { version } from '../version.ts';

export interface DoctorOptions {
	readonly json?: boolean | undefined;
	/** Default: that of the daemon that runs, else the usual one. */
	readonly config?: string | undefined;
	readonly out?: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number };
}

/** Prints the findings. Returns 0 when toascope runs or can run here, 2 when the configuration is wrong, 3 when it cannot. */
export async function doctor({ json, config: path, out = process.stdout }: DoctorOptions): Promise<number> {
	const own = read(path, process.env);
	const found = await findDaemon(placesToAsk(own.config, path));
	const theirs = path === undefined ? theirFile(found) : undefined;
	const { config, file, error } = theirs === undefined ? own : read(theirs, {});
	const host = readHost(release(), arch(), readMounts());
	const { running, checks: findings } = examine({
		host,
		memory: readMemory(host.status),
		config,
		configError: error,
		file: {
			path: file,
			config: error !== undefined ? undefined : file === undefined ? defaultConfig() : read(file, {}).config,
			defaults: defaultConfig(),
		},
		found,
		neighbours: (cgroup, programs) => inOneGo(lookForNeighbours(cgroup, programs, config.bpf.pin, config)),
		version,
	});
	const checks = findings.map((each) => ({
		...each,
		...(each.advice !== undefined && { advice: asTyped(each.advice) }),
	}));
	const well = checks.every(({ state }) => state !== 'fail');
	const colours = out.isTTY === true && !noColour(process.env);
	out.write(
		json === true
			? `${JSON.stringify({ version, running, can_run: well, checks }, undefined, 2)}\n`
			: formatReport({ running, checks }, { colours, columns: out.isTTY === true ? out.columns : undefined }),
	);
	if (well) return exitCode.done;
	return error === undefined || (running && isDenied(error)) ? exitCode.unsupported : exitCode.usage;
}

/** One that was started with another file may be where daemons are by default. */
function placesToAsk(config: Config, path: string | undefined): Place[] {
	const places = placesOf(config);
	if (path !== undefined || places.length === 0) return places;
	const known = new Set(places.map(showPlace));
	return [...places, ...placesOf(defaultConfig()).filter((place) => !known.has(showPlace(place)))];
}

/** The file that the daemon was started with; undefined: none runs, or it has none. */
function theirFile(found: Found | undefined): string | undefined {
	return found !== undefined && 'status' in found ? (found.status.config.file ?? undefined) : undefined;
}

interface Read {
	readonly config: Config;
	/** Absolute. */
	readonly file: string | undefined;
	readonly error: ToascopeError | undefined;
}

function read(path: string | undefined, env: Environment): Read {
	try {
		const { config, file } = loadConfigAndFile({ path, env });
		return { config, file: file === undefined ? undefined : resolve(file), error: undefined };
	} catch (error) {
		if (!(error instanceof ToascopeError)) throw error;
		return { config: defaultConfig(), file: resolve(path ?? defaultPath), error };
	}
}
