// SPDX-License-Identifier: Apache-2.0
/** Loads toa.ko by insmod or modprobe, and explains a failure. */
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';
import { KernelLog } from '../host/kernel_log.ts';
import { requireCapabilities } from '../host/privileges.ts';
import { hostRoots, type Roots } from '../host/roots.ts';
import { lastLines, runTool } from '../host/tool.ts';
import { version } from '../version.ts';
import { buildModule, findBuilt } from './build.ts';
import { findInstalled, type KernelObject, readKernelObject } from './kernel_object.ts';
import { describeLoaded, type LoadedModule, readLoaded, supportsModules } from './loaded.ts';
import { loadArguments } from './parameters.ts';
import { isLockedDown, type Policy, readPolicy, signedOnlyReason } from './policy.ts';

const sign =
	'sign it with a key that this machine trusts (docs/kernel-module.md), or set provider to bpf, which needs no signature';

/**
 * Requires the loaded module to be toascope's, of this version.
 * @throws {ToascopeError} MODULE_FOREIGN, MODULE_OTHER_VERSION
 */
export function requireOwn(loaded: LoadedModule): void {
	if (loaded.origin === 'own') return;
	const what = describeLoaded(loaded);
	if (loaded.origin === 'foreign') {
		throw new ToascopeError('MODULE_FOREIGN', `another module called toa is loaded (${what})`, {
			hint: 'it was not unloaded. Remove it (rmmod toa, and wherever it is loaded at boot), or set provider to bpf',
		});
	}
	throw new ToascopeError(
		'MODULE_OTHER_VERSION',
		`toa.ko of another toascope version is loaded (${what}); this is ${version}`,
		{
			hint: 'toascope module unload, then toascope module load; applications get no client addresses in between',
		},
	);
}

/**
 * Requires a file to be toascope's, of this version. It is checked before it is loaded, because a
 * loaded module can be in use at once.
 * @throws {ToascopeError} MODULE_FOREIGN, MODULE_OTHER_VERSION
 */
export function requireOwnFile(object: KernelObject): void {
	if (object.origin === 'own') return;
	const what = describeLoaded(object);
	if (object.origin === 'foreign') {
		throw new ToascopeError('MODULE_FOREIGN', `${object.file} is not toascope's (${what})`, {
			hint: 'it was not loaded. Pass the toa.ko that toascope module build has built, or no file',
		});
	}
	throw new ToascopeError(
		'MODULE_OTHER_VERSION',
		`${object.file} is of another toascope version (${what}); this is ${version}`,
		{ hint: 'it was not loaded. Build one of this version: toascope module build' },
	);
}

/** @throws {ToascopeError} MODULE_UNSUPPORTED, NO_PRIVILEGE */
function requireModules(roots: Roots = hostRoots): void {
	if (!supportsModules(roots)) {
		throw new ToascopeError('MODULE_UNSUPPORTED', 'this kernel does not support modules (no CONFIG_MODULES)', {
			hint: 'set provider to bpf',
		});
	}
	requireCapabilities('loading a kernel module', ['CAP_SYS_MODULE']);
}

/** Explains why insmod or modprobe failed. `kernelLines`: the kernel log since the attempt. */
export function loadError(
	output: string,
	kernelLines: readonly string[],
	{ object, policy }: { readonly object: KernelObject | undefined; readonly policy: Policy },
): ToascopeError {
	const detail = [lastLines(output, 3), ...kernelLines].filter((line) => line !== '').join('\n');
	const file = object?.file ?? 'toa.ko';
	if (/invalid module format|exec format error/i.test(output)) {
		// a rebuilt kernel can keep its release but have other symbols
		const same = object?.release === release();
		const built = same ? `another build of ${release()}` : (object?.vermagic ?? 'another kernel');
		const hint = 'toascope module build, on this host; a module only fits the exact kernel that it was built for';
		return new ToascopeError(
			'MODULE_VERMAGIC',
			`${file} was built for ${built}${same ? '' : `; this is ${release()}`}`,
			{
				hint: same ? `${hint}. If the headers are newer than the running kernel, reboot into the new kernel` : hint,
				detail,
			},
		);
	}
	const why = signedOnlyReason(policy);
	if (
		/key was rejected|required key not available|bad message/i.test(output) ||
		(/operation not permitted/i.test(output) && isLockedDown(policy))
	) {
		const because = why ?? 'it does not know the key of the signature';
		const what = object?.signed === true ? 'signed, but not with a trusted key' : 'not signed';
		return new ToascopeError(
			'MODULE_UNSIGNED',
			`the kernel accepts only signed modules (${because}), and ${file} is ${what}`,
			{
				hint: sign,
				detail,
			},
		);
	}
	if (/operation not permitted/i.test(output)) {
		return new ToascopeError('NO_PRIVILEGE', 'the kernel does not let this process load modules', {
			hint: 'a container, a seccomp filter, or kernel.modules_disabled=1 (which lasts until a reboot) forbids it',
			detail,
		});
	}
	return new ToascopeError('MODULE_LOAD_FAILED', `the kernel did not load ${file}`, {
		hint: 'its messages are below; if they do not name the cause, report this',
		detail,
	});
}

/** Whether a module of this version is loaded, or this process can load one without building it. */
export async function isModuleReady(roots: Roots = hostRoots): Promise<boolean> {
	const loaded = readLoaded(roots);
	if (loaded !== undefined) return loaded.origin === 'own';
	try {
		requireModules(roots);
	} catch (error) {
		if (error instanceof ToascopeError) return false;
		throw error;
	}
	return (await findInstalled(release()))?.origin === 'own' || (await findBuilt(release(), roots)) !== undefined;
}

/**
 * Requires that the files that toa.ko creates do not exist yet: the kernel would warn, with a stack
 * trace, about one that does.
 * @throws {ToascopeError} MODULE_FOREIGN
 */
export function requireFreeFiles({ proc, sys }: Roots = hostRoots): void {
	// the files belong to a toa that is just being loaded or unloaded
	if (existsSync(join(sys, 'module/toa'))) return;
	const present = ['toa_stats', 'toa_counters'].map((name) => join(proc, 'net', name)).find((file) => existsSync(file));
	if (present === undefined) return;
	throw new ToascopeError('MODULE_FOREIGN', `a module with another name does the same: it created ${present}`, {
		hint: 'toa.ko was not loaded. Unload the other module (lsmod | grep -i toa), or set provider to bpf',
	});
}

interface Provided {
	readonly object: KernelObject;
	readonly how: 'installed' | 'built before' | 'built now' | 'given';
}

/** Finds the module for this kernel, or builds it. */
async function provideModule(roots: Roots): Promise<Provided> {
	const installed = await findInstalled(release());
	if (installed?.origin === 'own') return { object: installed, how: 'installed' };
	const object = await findBuilt(release(), roots);
	return object === undefined ? buildNow(roots) : { object, how: 'built before' };
}

/** Builds the module, unless the kernel would refuse it because it is not signed. */
async function buildNow(roots: Roots): Promise<Provided> {
	const why = signedOnlyReason(readPolicy(roots));
	if (why !== undefined) {
		const message = `the kernel accepts only signed modules (${why}), and none is available; a new build is not signed`;
		throw new ToascopeError('MODULE_UNSIGNED', message, { hint: sign });
	}
	return { object: await buildModule(release(), roots), how: 'built now' };
}

/** @throws {ToascopeError} MODULE_FOREIGN, MODULE_OTHER_VERSION, NOT_FOUND, MISSING_TOOL */
async function readGivenFile(file: string): Promise<Provided> {
	const object = await readKernelObject(file);
	requireOwnFile(object);
	return { object, how: 'given' };
}

/**
 * Loads toa.ko with the configuration's profiles and networks, if it is not loaded. `file`: the
 * file to load; otherwise a module for this kernel is found or built, and built again if the kernel
 * refuses the one that was found.
 * @throws {ToascopeError} the MODULE_ codes
 */
export async function loadModule(
	config: Config,
	file?: string,
	roots: Roots = hostRoots,
): Promise<'loaded' | 'was loaded'> {
	const before = readLoaded(roots);
	if (before !== undefined) {
		requireOwn(before);
		return 'was loaded';
	}
	requireModules(roots);
	requireFreeFiles(roots);
	const provided = file === undefined ? await provideModule(roots) : await readGivenFile(file);
	try {
		return await insert(provided, config, roots);
	} catch (error) {
		const stale = error instanceof ToascopeError && error.code === 'MODULE_VERMAGIC';
		if (!stale || provided.how === 'given' || provided.how === 'built now') throw error;
		return await insert(await buildNow(roots), config, roots);
	}
}

async function insert({ object, how }: Provided, config: Config, roots: Roots): Promise<'loaded' | 'was loaded'> {
	const log = new KernelLog();
	try {
		const moduleArguments = loadArguments(config);
		const { code, output } =
			how === 'installed'
				? await runTool('modprobe', ['toa', ...moduleArguments])
				: await runTool('insmod', [object.file, ...moduleArguments]);
		const after = readLoaded(roots);
		// another process might have loaded one meanwhile
		if (after !== undefined && (code === 0 || /file exists/i.test(output))) {
			requireOwn(after);
			return code === 0 ? 'loaded' : 'was loaded';
		}
		throw loadError(output, log.lines(), { object, policy: readPolicy(roots) });
	} finally {
		log.close();
	}
}
