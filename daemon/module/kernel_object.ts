// SPDX-License-Identifier: Apache-2.0
/** What a toa.ko says of itself: modinfo(8). */
import { ToascopeError } from '../errors.ts';
import { type Whose, whoseIs } from './loaded.ts';
import { lastLines, runTool } from './tool.ts';

export interface KernelObject {
	readonly file: string;
	readonly whose: Whose;
	readonly version: string | undefined;
	readonly srcversion: string | undefined;
	/** What the kernel compares with its own: release, SMP, preemption, modversions. */
	readonly vermagic: string;
	/** Of the kernel that it was built for. */
	readonly release: string;
	readonly signed: boolean;
}

/** Reads what modinfo says; undefined where that is of no kernel module. */
export function parseModinfo(text: string): KernelObject | undefined {
	const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.+)$`, 'm').exec(text)?.[1]?.trim();
	const [file, vermagic] = [field('filename'), field('vermagic')];
	if (file === undefined || vermagic === undefined) return undefined;
	const parameters = [...text.matchAll(/^parm:[ \t]*(\w+)/gm)].map(([, name = '']) => name);
	const version = field('version');
	return {
		file,
		whose: whoseIs(parameters, version),
		version,
		srcversion: field('srcversion'),
		vermagic,
		release: vermagic.split(' ', 1)[0] ?? '',
		signed: field('sig_id') !== undefined || field('signer') !== undefined,
	};
}

/**
 * Of a file.
 * @throws {ToascopeError} NOT_FOUND where it is none, or no kernel module; MISSING_TOOL
 */
export async function readKernelObject(file: string): Promise<KernelObject> {
	const { code, output } = await runTool('modinfo', [file]);
	const object = code === 0 ? parseModinfo(output) : undefined;
	if (object !== undefined) return object;
	if (code === undefined) {
		throw new ToascopeError('MISSING_TOOL', 'modinfo is not installed', { hint: 'install kmod' });
	}
	throw new ToascopeError('NOT_FOUND', `${file} is no kernel module: ${lastLines(output, 1)}`, {
		hint: 'give the toa.ko that toascope module build has built',
	});
}

/** The one that modprobe would load for a kernel; undefined: none is installed. */
export async function findInstalled(release: string): Promise<KernelObject | undefined> {
	const { code, output } = await runTool('modinfo', ['-k', release, 'toa']);
	return code === 0 ? parseModinfo(output) : undefined;
}
