// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope detach`: detaches what a stopped daemon has left attached, and removes its counters.
 * The opposite of `on_exit: keep`.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { native } from '../../native/binding.ts';
import { BpfProvider } from '../capture/bpf_provider.ts';
import { Pins } from '../capture/pinning/pins.ts';
import { bpfReader } from '../capture/provider.ts';
import type { Config, Environment } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { exitCode, ToascopeError } from '../errors.ts';
import { requirePrivileges } from '../host/privileges.ts';
import { logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { createLogger } from '../service/log.ts';

export interface DetachOptions {
	readonly config?: string | undefined;
	readonly env: Environment;
	readonly write: (text: string) => void;
}

/**
 * Does nothing, and says so, where nothing is pinned below bpf.pin.
 * @throws {ToascopeError} CONFIG_UNREADABLE, CONFIG_INVALID; ALREADY_RUNNING where a daemon holds
 * the pins; NO_PRIVILEGE, NO_BPFFS
 */
export function detach({ config: path, env, write }: DetachOptions): number {
	const config = loadConfig({ path, env });
	const { pin } = config.bpf;
	if (pin === undefined) {
		write('nothing to detach: bpf.pin is off, so nothing outlives its daemon\n');
		return exitCode.done;
	}
	if (!exists(pin)) {
		write(`nothing to detach: ${pin} does not exist\n`);
		return exitCode.done;
	}
	Pins.requireFree(native(), pin);
	const programs = pinnedPrograms(pin);
	// only the programs can reset TCP_SAVE_SYN on the listeners that they set it on
	if (programs.length > 0 && config.profiles.some(({ onSyn }) => onSyn)) releaseListeners(config);
	if (exists(pin)) removePins(pin);
	write(
		programs.length === 0
			? `nothing was attached; ${pin} is removed\n`
			: `detached ${programs.join(', ')}; ${pin} and the counters in it are removed\n`,
	);
	return exitCode.done;
}

function removePins(pin: string): void {
	const pins = Pins.open(native(), pin);
	try {
		// a detached cgroup link runs no longer, even if another process has a descriptor of it
		native().detachLinks(readdirSync(pins.links).map((name) => pins.link(name)));
		for (const layout of pins.otherLayouts) native().detachLinks(pins.linksOf(layout));
		pins.removeOtherLayouts();
	} finally {
		pins.close(false);
	}
}

/**
 * Resets TCP_SAVE_SYN by a start, which adopts what is pinned, and a stop, which leaves every
 * listener as it was found. Where this kernel or host no longer loads programs, what is attached
 * must be detached nevertheless: listeners that still save SYNs cost only memory.
 * @throws {ToascopeError} ALREADY_RUNNING; NO_PRIVILEGE, since nothing can be detached without
 * these rights either
 */
function releaseListeners(config: Config): void {
	requirePrivileges('detaching eBPF programs');
	const log = createLogger({ ...config.log, level: 'warn' });
	try {
		BpfProvider.open(config, bpfReader, log).close(false);
	} catch (err) {
		if (err instanceof ToascopeError && err.code === 'ALREADY_RUNNING') throw err;
		logLine(log, logLines.saveSynNotReset, { err });
	}
}

/** The names of the pinned programs, of every layout of the records. */
function pinnedPrograms(pin: string): string[] {
	const links = readdirSync(pin)
		.map((layout) => join(pin, layout, 'links'))
		.filter((directory) => existsSync(directory));
	return [...new Set(links.flatMap((directory) => readdirSync(directory).map((link) => basename(link))))].toSorted();
}

function exists(path: string): boolean {
	try {
		return statSync(path, { throwIfNoEntry: false }) !== undefined;
	} catch (cause) {
		throw new ToascopeError('NO_PRIVILEGE', `cannot access ${path}: ${(cause as Error).message}`, {
			hint: 'run this command as root, or as the user that the daemon runs as',
			cause,
		});
	}
}
