// SPDX-License-Identifier: Apache-2.0
/** `toascope detach`: what a stopped daemon has left attached goes, and so do its counters. The opposite of `on_exit: keep`. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { native } from '../capture/native.ts';
import { Pins } from '../capture/pins.ts';
import { requirePrivileges } from '../capture/privileges.ts';
import { Programs } from '../capture/programs.ts';
import { bpfReader } from '../capture/provider.ts';
import type { Config, Environment } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { exitCode, ToascopeError } from '../errors.ts';
import { logLines, tell } from '../log_lines.ts';
import { createLogger } from '../service/log.ts';

export interface DetachOptions {
	readonly config?: string | undefined;
	readonly env: Environment;
	readonly write: (text: string) => void;
}

/**
 * Does nothing, and says so, where nothing is pinned below bpf.pin.
 * @throws {ToascopeError} CONFIG_UNREADABLE, CONFIG_INVALID; ALREADY_RUNNING where a daemon has the pins; NO_PRIVILEGE, NO_BPFFS
 */
export function detach({ config: path, env, write }: DetachOptions): number {
	const config = loadConfig({ path, env });
	const { pin } = config.bpf;
	if (pin === undefined) {
		write('nothing to detach: bpf.pin is off, so nothing outlives its daemon\n');
		return exitCode.done;
	}
	if (!isThere(pin)) {
		write(`nothing to detach: ${pin} does not exist\n`);
		return exitCode.done;
	}
	Pins.requireFree(native(), pin);
	const programs = pinnedPrograms(pin);
	// listeners that were told to keep their SYNs are told otherwise by the programs alone
	if (programs.length > 0 && config.profiles.some(({ onSyn }) => onSyn)) releaseListeners(config);
	if (isThere(pin)) removePins(pin);
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
		// a link to a cgroup that is detached runs no more, whoever else has a descriptor of it
		native().detachLinks(readdirSync(pins.links).map((name) => pins.link(name)));
		for (const layout of pins.otherLayouts) native().detachLinks(pins.linksOf(layout));
		pins.dropOtherLayouts();
	} finally {
		pins.close(false);
	}
}

/**
 * A start goes on with what is pinned, and its stop leaves every listener as it was found. Where this kernel or host takes no
 * programs any more, what is attached must still go: listeners that keep their SYNs cost memory and nothing else.
 * @throws {ToascopeError} ALREADY_RUNNING; NO_PRIVILEGE, since nothing can be detached without these rights either
 */
function releaseListeners(config: Config): void {
	requirePrivileges('detaching eBPF programs');
	const log = createLogger({ ...config.log, level: 'warn' });
	try {
		Programs.open(config, bpfReader, log).close(false);
	} catch (err) {
		if (err instanceof ToascopeError && err.code === 'ALREADY_RUNNING') throw err;
		tell(log, logLines.synsKept, { err });
	}
}

/** Of every layout of the records. */
function pinnedPrograms(pin: string): string[] {
	const links = readdirSync(pin)
		.map((layout) => join(pin, layout, 'links'))
		.filter((directory) => existsSync(directory));
	return [...new Set(links.flatMap((directory) => readdirSync(directory).map((link) => basename(link))))].toSorted();
}

function isThere(path: string): boolean {
	try {
		return statSync(path, { throwIfNoEntry: false }) !== undefined;
	} catch (cause) {
		throw new ToascopeError('NO_PRIVILEGE', `may not look into ${path}: ${(cause as Error).message}`, {
			hint: 'run it as root, or as the user that the daemon runs as',
			cause,
		});
	}
}
