// SPDX-License-Identifier: Apache-2.0
/** Which provider runs: the one that the configuration names; with `auto` BPF where it works, else the module. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decidingServers, describeCompatServers, findCompatServers } from '../capture/compat_servers.ts';
import { modulePrograms } from '../capture/load.ts';
import { native } from '../capture/native.ts';
import { Pins } from '../capture/pins.ts';
import { missingCapabilities } from '../capture/privileges.ts';
import { Programs } from '../capture/programs.ts';
import { bpfReader, type Provider } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';
import { type ErrorCode, ToascopeError } from '../errors.ts';
import { type LogSink, logLines, tell } from '../log_lines.ts';
import { ModuleAlone } from '../module/alone.ts';
import { KernelModule } from '../module/kernel_module.ts';
import { isModuleReady } from '../module/load.ts';
import { readLoaded } from '../module/loaded.ts';

/** Of this host and its kernel: another provider may do without. */
const refusals: readonly ErrorCode[] = ['NO_BTF', 'NO_CGROUP2', 'BPF_FAILED', 'PROVIDER_UNSUPPORTED'];

/** A directory of pins that belongs to somebody else is no refusal of BPF. */
function isRefusal(error: unknown): error is ToascopeError {
	if (!(error instanceof ToascopeError)) return false;
	if (error.code !== 'NO_PRIVILEGE') return refusals.includes(error.code);
	return missingCapabilities(readFileSync('/proc/self/status', 'utf8')).length > 0 || !takesBpf();
}

function takesBpf(): boolean {
	return native().probe().features.sockops === '';
}

/** @throws {ToascopeError} what keeps the provider from working; with `auto`, what keeps BPF */
export async function openProvider(config: Config, log: LogSink): Promise<Provider> {
	if (config.provider === 'module') return openModule(config, log);
	const compat = config.sockopt.enabled ? findCompatServers(config.listeners.ports) : [];
	const deciding = decidingServers(compat, config.listeners.ports);
	if (deciding.length > 0 && config.provider === 'auto' && readLoaded()?.whose === 'own') {
		tell(log, logLines.autoModule, { servers: describeCompatServers(deciding) });
		try {
			return await openModule(config, log);
		} catch (err) {
			tell(log, logLines.moduleNotForCompat, { err });
		}
	}
	try {
		const provider = Programs.open(config, bpfReader, log);
		if (compat.length > 0) tell(log, logLines.compatServers, { servers: describeCompatServers(compat) });
		return provider;
	} catch (error) {
		// nobody who did not ask for a module gets one built
		if (config.provider === 'bpf' || !isRefusal(error) || !(await isModuleReady())) throw error;
		tell(log, logLines.notBpf, { err: error });
		try {
			return await openModule(config, log);
		} catch (err) {
			tell(log, logLines.moduleNeither, { err });
			throw error;
		}
	}
}

async function openModule(config: Config, log: LogSink): Promise<Provider> {
	// the module is one for all: a start that fails must not change what it believes for the daemon that runs
	if (config.bpf.pin !== undefined) Pins.requireFree(native(), config.bpf.pin);
	const module = await KernelModule.open(config, log, hangsOnModule(config));
	try {
		return Programs.open(config, module, log);
	} catch (error) {
		if (isRefusal(error)) {
			tell(log, logLines.moduleAlone, { err: error });
			return new ModuleAlone(module, error);
		}
		module.close(false, false);
		throw error;
	}
}

/** Whether programs that a daemon before this one left hang on the module. */
function hangsOnModule({ bpf: { pin } }: Config): boolean {
	return pin !== undefined && modulePrograms.every((program) => existsSync(join(Pins.linksIn(pin), program)));
}
