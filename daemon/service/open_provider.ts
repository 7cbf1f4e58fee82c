// SPDX-License-Identifier: Apache-2.0
/**
 * Opens the provider that the configuration names; with `auto`, BPF where it works, otherwise the
 * module.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '../../native/binding.ts';
import { BpfProvider } from '../capture/bpf_provider.ts';
import { modulePrograms } from '../capture/load.ts';
import { Pins } from '../capture/pinning/pins.ts';
import { bpfReader, type Provider } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';
import { type ErrorCode, ToascopeError } from '../errors.ts';
import { describeCompatServers, findCompatServers, serversThatDecideProvider } from '../host/compat_servers.ts';
import { missingCapabilities } from '../host/privileges.ts';
import { type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { KernelModule } from '../module/kernel_module.ts';
import { isModuleReady } from '../module/load.ts';
import { readLoaded } from '../module/loaded.ts';
import { ModuleProvider } from '../module/module_provider.ts';

/** Errors that are due to this host and its kernel: another provider can still work. */
const refusals: readonly ErrorCode[] = ['NO_BTF', 'NO_CGROUP2', 'BPF_FAILED', 'PROVIDER_UNSUPPORTED'];

/** A directory of pins that belongs to another user does not mean that BPF is refused. */
function isRefusal(error: unknown): error is ToascopeError {
	if (!(error instanceof ToascopeError)) return false;
	if (error.code !== 'NO_PRIVILEGE') return refusals.includes(error.code);
	return missingCapabilities(readFileSync('/proc/self/status', 'utf8')).length > 0 || !allowsBpf();
}

function allowsBpf(): boolean {
	return native().probe().features.sockops === '';
}

/**
 * @throws {ToascopeError} what keeps the provider from working; with `auto`, what keeps BPF from
 * working
 */
export async function openProvider(config: Config, log: LogSink): Promise<Provider> {
	if (config.provider === 'module') return openModule(config, log);
	const compat = config.sockopt.enabled ? findCompatServers(config.listeners.ports) : [];
	const deciding = serversThatDecideProvider(compat, config.listeners.ports);
	if (deciding.length > 0 && config.provider === 'auto' && readLoaded()?.origin === 'own') {
		logLine(log, logLines.autoModule, { servers: describeCompatServers(deciding) });
		try {
			return await openModule(config, log);
		} catch (err) {
			logLine(log, logLines.moduleNotForCompat, { err });
		}
	}
	try {
		const provider = BpfProvider.open(config, bpfReader, log);
		if (compat.length > 0) logLine(log, logLines.compatServers, { servers: describeCompatServers(compat) });
		return provider;
	} catch (error) {
		// no module is built for a configuration that does not name it
		if (config.provider === 'bpf' || !isRefusal(error) || !(await isModuleReady())) throw error;
		logLine(log, logLines.bpfRefused, { err: error });
		try {
			return await openModule(config, log);
		} catch (err) {
			logLine(log, logLines.moduleFailedToo, { err });
			throw error;
		}
	}
}

async function openModule(config: Config, log: LogSink): Promise<Provider> {
	// all daemons share the module: a start that fails must not change its trusted networks under a
	// running daemon
	if (config.bpf.pin !== undefined) Pins.requireFree(native(), config.bpf.pin);
	const module = await KernelModule.open(config, log, dependsOnModule(config));
	try {
		return BpfProvider.open(config, module, log);
	} catch (error) {
		if (isRefusal(error)) {
			logLine(log, logLines.moduleOnly, { err: error });
			return new ModuleProvider(module);
		}
		module.close(false, false);
		throw error;
	}
}

/** Whether programs that a previous daemon left pinned depend on the module. */
function dependsOnModule({ bpf: { pin } }: Config): boolean {
	return pin !== undefined && modulePrograms.every((program) => existsSync(join(Pins.linksIn(pin), program)));
}
