// SPDX-License-Identifier: Apache-2.0
/** Loads and unloads the toa.ko of a guest with the commands that users have. */
import { existsSync } from 'node:fs';
import { expect } from 'vitest';
import type { ModuleStatus } from '../../../daemon/module/status.ts';
import { toascope } from '../daemon/command.ts';
import { moduleFile } from './module_file.ts';

/**
 * Selects the defaults: an empty configuration file sets nothing, while a missing one would be an
 * error.
 */
export const noConfig = ['--config', '/dev/null'] as const;

export async function loadToa(): Promise<void> {
	const { code, err } = await toascope(['module', 'load', moduleFile(), ...noConfig]);
	expect(err).toBe('');
	expect(code).toBe(0);
}

/** Unloads toa.ko, no matter what loaded it. */
export async function unloadToa(): Promise<void> {
	const { code, err } = await toascope(['module', 'unload', ...noConfig]);
	expect(err).toBe('');
	expect(code).toBe(0);
	expect(existsSync('/sys/module/toa')).toBe(false);
}

/** The output of `module status`, with its exit code. */
export async function moduleStatus(): Promise<ModuleStatus & { readonly code: number | string | null }> {
	const { code, out } = await toascope(['module', 'status', '--json']);
	return { code, ...(JSON.parse(out) as ModuleStatus) };
}
