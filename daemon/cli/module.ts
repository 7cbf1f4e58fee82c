// SPDX-License-Identifier: Apache-2.0
/** `toascope module`: builds, loads, unloads and installs toa.ko, and reports its state. */
import { release } from 'node:os';
import { loadConfig } from '../config/load.ts';
import { exitCode } from '../errors.ts';
import { buildModule } from '../module/build.ts';
import { installModule } from '../module/install.ts';
import { loadModule } from '../module/load.ts';
import { Parameters } from '../module/parameters.ts';
import { formatStatus, readStatus } from '../module/status.ts';
import { unloadModule } from '../module/unload.ts';
import { verifyModule } from '../module/verify.ts';

export interface ModuleOptions {
	/** Default: /etc/toascope/toascope.yaml. */
	readonly config?: string | undefined;
	readonly json?: boolean | undefined;
}

type Write = (text: string) => void;

/**
 * Builds it for the running kernel, or for another one with installed headers.
 * @throws {ToascopeError}
 */
export async function build(kernel: string = release(), write: Write): Promise<number> {
	const { file, vermagic } = await buildModule(kernel);
	write(`${file}\nbuilt for ${vermagic}\n`);
	return exitCode.done;
}

/**
 * Loads it with the configuration's profiles and networks, and verifies that it works.
 * @throws {ToascopeError}
 */
export async function load(file: string | undefined, { config: path }: ModuleOptions, write: Write): Promise<number> {
	const config = loadConfig({ path, env: process.env });
	const how = await loadModule(config, file);
	if (how === 'was loaded') {
		write('toa.ko was already loaded; its parameters are unchanged\n');
		return exitCode.done;
	}
	new Parameters().apply(config);
	verifyModule(config);
	write('toa.ko is loaded: getsockopt(4096) answers\n');
	return exitCode.done;
}

/** @throws {ToascopeError} */
export function unload({ config: path }: ModuleOptions, write: Write): number {
	const config = loadConfig({ path, env: process.env });
	write(`toa.ko ${unloadModule(config.bpf.pin) === 'unloaded' ? 'is unloaded' : 'was not loaded'}\n`);
	return exitCode.done;
}

/** Returns 0 when a toa.ko of this version is loaded, otherwise 1. */
export async function status({ json }: ModuleOptions, write: Write): Promise<number> {
	const found = await readStatus();
	write(json === true ? `${JSON.stringify(found, undefined, 2)}\n` : formatStatus(found));
	return found.loaded?.origin === 'own' ? exitCode.done : exitCode.failed;
}

/**
 * Has DKMS build it, again for each new kernel, and has it loaded at boot with the configuration.
 * @throws {ToascopeError}
 */
export async function install({ config: path }: ModuleOptions, write: Write): Promise<number> {
	for (const step of await installModule(loadConfig({ path, env: process.env }))) write(`${step}\n`);
	return exitCode.done;
}
