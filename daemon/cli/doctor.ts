// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope doctor`: what this host can do, what works, whether TOA arrives, and why the rest
 * fails.
 */
import { arch, release } from 'node:os';
import { resolve } from 'node:path';
import { findNeighbours, inOneGo } from '../capture/neighbours.ts';
import { type DaemonAddress, daemonAddressesOf, formatDaemonAddress } from '../client/daemon_client.ts';
import { type DaemonLookup, findDaemon } from '../client/status.ts';
import type { Config, Environment } from '../config/config.ts';
import { defaultConfig, defaultPath, loadConfigAndFile } from '../config/load.ts';
import { isDenied } from '../doctor/configuration.ts';
import { examine } from '../doctor/examine.ts';
import { readHost } from '../doctor/host.ts';
import { readMemory } from '../doctor/memory.ts';
import { formatReport } from '../doctor/report.ts';
import { exitCode, ToascopeError } from '../errors.ts';
import { readMounts } from '../host/mounts.ts';
import { asInvoked } from '../invocation.ts';
import { noColour } from '../terminal.ts';
import { version } from '../version.ts';

export interface DoctorOptions {
	readonly json?: boolean | undefined;
	/** Default: the file of the running daemon, otherwise the default one. */
	readonly config?: string | undefined;
	readonly out?: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number };
}

/**
 * Prints the findings. Returns 0 when toascope runs or can run here, 2 when the configuration is
 * wrong, 3 when it cannot.
 */
export async function doctor({ json, config: path, out = process.stdout }: DoctorOptions): Promise<number> {
	const own = read(path, process.env);
	const found = await findDaemon(daemonAddresses(own.config, path));
	const inUse = path === undefined ? fileInUse(found) : undefined;
	const { config, file, error } = inUse === undefined ? own : read(inUse, {});
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
		neighbours: (cgroup, programs) => inOneGo(findNeighbours(cgroup, programs, config.bpf.pin, config)),
		version,
	});
	const checks = findings.map((each) => ({
		...each,
		...(each.advice !== undefined && { advice: asInvoked(each.advice) }),
	}));
	const canRun = checks.every(({ state }) => state !== 'fail');
	const colours = out.isTTY === true && !noColour(process.env);
	out.write(
		json === true
			? `${JSON.stringify({ version, running, can_run: canRun, checks }, undefined, 2)}\n`
			: formatReport({ running, checks }, { colours, columns: out.isTTY === true ? out.columns : undefined }),
	);
	if (canRun) return exitCode.done;
	return error === undefined || (running && isDenied(error)) ? exitCode.unsupported : exitCode.usage;
}

/**
 * Where to look for a daemon. One that was started with another file can be at the default
 * addresses, which are searched unless a file is named.
 */
function daemonAddresses(config: Config, path: string | undefined): DaemonAddress[] {
	const own = daemonAddressesOf(config);
	if (path !== undefined || own.length === 0) return own;
	const known = new Set(own.map(formatDaemonAddress));
	return [...own, ...daemonAddressesOf(defaultConfig()).filter((address) => !known.has(formatDaemonAddress(address)))];
}

/** The file that the daemon was started with; undefined: no daemon runs, or it has no file. */
function fileInUse(found: DaemonLookup | undefined): string | undefined {
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
