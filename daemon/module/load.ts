// SPDX-License-Identifier: Apache-2.0
/** Loads toa.ko by insmod or modprobe, and explains why it could not. */
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { requireCapabilities } from '../capture/privileges.ts';
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';
import { version } from '../version.ts';
import { buildModule, findBuilt } from './build.ts';
import { KernelLog } from './kernel_log.ts';
import { findInstalled, type KernelObject, readKernelObject } from './kernel_object.ts';
import { describeLoaded, type Loaded, readLoaded, takesModules } from './loaded.ts';
import { loadArguments } from './parameters.ts';
import { isLocked, type Policy, readPolicy, whySignedOnly } from './policy.ts';
import { hostRoots, type Roots } from './roots.ts';
import { lastLines, runTool } from './tool.ts';

const sign =
	'sign it with a key that this machine trusts (docs/kernel-module.md), or set provider to bpf, which needs no signature';

/** One of toascope's is loaded, the one that goes with this version. @throws {ToascopeError} MODULE_FOREIGN, MODULE_OTHER_VERSION */
export function requireOwn(loaded: Loaded): void {
	if (loaded.whose === 'own') return;
	const what = describeLoaded(loaded);
	if (loaded.whose === 'foreign') {
		throw new ToascopeError('MODULE_FOREIGN', `another module called toa is loaded (${what})`, {
			hint: 'it was left in place. Take it away (rmmod toa, and where it is loaded at boot), or set provider to bpf',
		});
	}
	throw new ToascopeError(
		'MODULE_OTHER_VERSION',
		`toa.ko of another toascope is loaded (${what}); this one is ${version}`,
		{
			hint: 'toascope module unload, then toascope module load; applications get no clients in between',
		},
	);
}

/** A file that may be loaded: what is in the kernel could be in use at once. @throws {ToascopeError} MODULE_FOREIGN, MODULE_OTHER_VERSION */
export function requireOwnFile(object: KernelObject): void {
	if (object.whose === 'own') return;
	const what = describeLoaded(object);
	if (object.whose === 'foreign') {
		throw new ToascopeError('MODULE_FOREIGN', `${object.file} is not toascope's (${what})`, {
			hint: 'it was not loaded. Give the toa.ko that toascope module build has built, or none',
		});
	}
	throw new ToascopeError(
		'MODULE_OTHER_VERSION',
		`${object.file} is of another toascope (${what}); this one is ${version}`,
		{ hint: 'it was not loaded. toascope module build builds one of this version' },
	);
}

/** @throws {ToascopeError} MODULE_UNSUPPORTED, NO_PRIVILEGE */
export function requireModules(roots: Roots = hostRoots): void {
	if (!takesModules(roots)) {
		throw new ToascopeError('MODULE_UNSUPPORTED', 'this kernel takes no modules (built without CONFIG_MODULES)', {
			hint: 'set provider to bpf',
		});
	}
	requireCapabilities('loading a kernel module', ['CAP_SYS_MODULE']);
}

/** Why insmod or modprobe did not load it. `said`: lines of the kernel log since. */
export function explainRefusal(
	output: string,
	said: readonly string[],
	{ object, policy }: { readonly object: KernelObject | undefined; readonly policy: Policy },
): ToascopeError {
	const detail = [lastLines(output, 3), ...said].filter((line) => line !== '').join('\n');
	const file = object?.file ?? 'toa.ko';
	if (/invalid module format|exec format error/i.test(output)) {
		// a rebuilt kernel may keep its release and have other symbols
		const same = object?.release === release();
		const built = same ? `another build of ${release()}` : (object?.vermagic ?? 'another kernel');
		const hint = 'toascope module build, here; a copied module fits the very same kernel alone';
		return new ToascopeError(
			'MODULE_VERMAGIC',
			`${file} was built for ${built}${same ? '' : `; this is ${release()}`}`,
			{
				hint: same ? `${hint}. Where the headers are newer than the running kernel: restart into the new one` : hint,
				detail,
			},
		);
	}
	const why = whySignedOnly(policy);
	if (
		/key was rejected|required key not available|bad message/i.test(output) ||
		(/operation not permitted/i.test(output) && isLocked(policy))
	) {
		const because = why ?? 'its signature is of a key that this kernel does not know';
		const what = object?.signed === true ? 'signed, but of no key that counts' : 'not signed';
		return new ToascopeError(
			'MODULE_UNSIGNED',
			`the kernel takes signed modules alone (${because}), and ${file} is ${what}`,
			{
				hint: sign,
				detail,
			},
		);
	}
	if (/operation not permitted/i.test(output)) {
		return new ToascopeError('NO_PRIVILEGE', 'the kernel lets this process load no module', {
			hint: 'a container, a seccomp filter, or kernel.modules_disabled=1, which a reboot alone takes back, forbids it',
			detail,
		});
	}
	return new ToascopeError('MODULE_LOAD_FAILED', `the kernel does not load ${file}`, {
		hint: 'what it said is below; report it where it is not clear',
		detail,
	});
}

/** One of this version is loaded, or could be without being built; and this process may load it. */
export async function isModuleReady(roots: Roots = hostRoots): Promise<boolean> {
	const loaded = readLoaded(roots);
	if (loaded !== undefined) return loaded.whose === 'own';
	try {
		requireModules(roots);
	} catch (error) {
		if (error instanceof ToascopeError) return false;
		throw error;
	}
	return (await findInstalled(release()))?.whose === 'own' || (await findBuilt(release(), roots)) !== undefined;
}

/** Whose files toa.ko would make: the kernel warns, with a trace, of one that is there already. @throws {ToascopeError} MODULE_FOREIGN */
export function requireFreeFiles({ proc, sys }: Roots = hostRoots): void {
	// of a toa that is on its way in or out
	if (existsSync(join(sys, 'module/toa'))) return;
	const taken = ['toa_stats', 'toa_counters'].map((name) => join(proc, 'net', name)).find((file) => existsSync(file));
	if (taken === undefined) return;
	throw new ToascopeError('MODULE_FOREIGN', `a module with another name does the same: ${taken} is there`, {
		hint: 'toa.ko was not loaded. Take the other one away (lsmod | grep -i toa), or set provider to bpf',
	});
}

interface Provided {
	readonly object: KernelObject;
	readonly how: 'installed' | 'built before' | 'built now' | 'given';
}

/** The module for this kernel. */
async function provideModule(roots: Roots): Promise<Provided> {
	const installed = await findInstalled(release());
	if (installed?.whose === 'own') return { object: installed, how: 'installed' };
	const object = await findBuilt(release(), roots);
	return object === undefined ? buildNow(roots) : { object, how: 'built before' };
}

/** Where what comes of it can be loaded. */
async function buildNow(roots: Roots): Promise<Provided> {
	const why = whySignedOnly(readPolicy(roots));
	if (why !== undefined) {
		const message = `the kernel takes signed modules alone (${why}), and none is here; one that is built now is not signed`;
		throw new ToascopeError('MODULE_UNSIGNED', message, { hint: sign });
	}
	return { object: await buildModule(release(), roots), how: 'built now' };
}

/** @throws {ToascopeError} MODULE_FOREIGN, MODULE_OTHER_VERSION, NOT_FOUND, MISSING_TOOL */
async function takeFile(file: string): Promise<Provided> {
	const object = await readKernelObject(file);
	requireOwnFile(object);
	return { object, how: 'given' };
}

/**
 * Loads it with the configuration's profiles and networks, where it is not loaded. `file`: that one; otherwise what
 * fits this kernel is found, or built, anew where the kernel refuses what was found.
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
	const provided = file === undefined ? await provideModule(roots) : await takeFile(file);
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
		const given = loadArguments(config);
		const { code, output } =
			how === 'installed'
				? await runTool('modprobe', ['toa', ...given])
				: await runTool('insmod', [object.file, ...given]);
		const after = readLoaded(roots);
		// somebody else may have loaded one meanwhile
		if (after !== undefined && (code === 0 || /file exists/i.test(output))) {
			requireOwn(after);
			return code === 0 ? 'loaded' : 'was loaded';
		}
		throw explainRefusal(output, log.lines(), { object, policy: readPolicy(roots) });
	} finally {
		log.close();
	}
}
