// SPDX-License-Identifier: Apache-2.0
/** Reads the metadata of a toa.ko: modinfo(8). */
import { ToascopeError } from '../errors.ts';
import { lastLines, runTool } from '../host/tool.ts';
import { type Origin, originOf } from './loaded.ts';

export interface KernelObject {
	readonly file: string;
	readonly origin: Origin;
	readonly version: string | undefined;
	readonly srcversion: string | undefined;
	/** What the kernel compares with its own value: release, SMP, preemption, modversions. */
	readonly vermagic: string;
	/** Release of the kernel that it was built for. */
	readonly release: string;
	readonly signed: boolean;
}

/** Parses the output of modinfo; undefined if it does not describe a kernel module. */
export function parseModinfo(text: string): KernelObject | undefined {
	const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.+)$`, 'm').exec(text)?.[1]?.trim();
	const [file, vermagic] = [field('filename'), field('vermagic')];
	if (file === undefined || vermagic === undefined) return undefined;
	const parameters = [...text.matchAll(/^parm:[ \t]*(\w+)/gm)].map(([, name = '']) => name);
	const version = field('version');
	return {
		file,
		origin: originOf(parameters, version),
		version,
		srcversion: field('srcversion'),
		vermagic,
		release: vermagic.split(' ', 1)[0] ?? '',
		signed: field('sig_id') !== undefined || field('signer') !== undefined,
	};
}

/**
 * Reads the metadata of a file.
 * @throws {ToascopeError} NOT_FOUND if it does not exist or is not a kernel module; MISSING_TOOL
 */
export async function readKernelObject(file: string): Promise<KernelObject> {
	const { code, output } = await runTool('modinfo', [file]);
	const object = code === 0 ? parseModinfo(output) : undefined;
	if (object !== undefined) return object;
	if (code === undefined) {
		throw new ToascopeError('MISSING_TOOL', 'modinfo is not installed', { hint: 'install kmod' });
	}
	throw new ToascopeError('NOT_FOUND', `${file} is not a kernel module: ${lastLines(output, 1)}`, {
		hint: 'pass the toa.ko that toascope module build has built',
	});
}

/** The module that modprobe would load for a kernel; undefined: none is installed. */
export async function findInstalled(release: string): Promise<KernelObject | undefined> {
	const { code, output } = await runTool('modinfo', ['-k', release, 'toa']);
	return code === 0 ? parseModinfo(output) : undefined;
}
