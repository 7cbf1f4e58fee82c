// SPDX-License-Identifier: Apache-2.0
/** Installs toa.ko for good: DKMS builds it for each new kernel, systemd loads it at boot. */
import { release } from 'node:os';
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';
import { loadAtBoot } from './boot.ts';
import { requireParts } from './build.ts';
import { installByDkms } from './dkms.ts';
import { howToInstall, readDistribution } from './packages.ts';
import { hostRoots, type Roots } from './roots.ts';
import { isInstalled } from './tool.ts';

/**
 * Does what was not done yet. Returns the steps, in words.
 * @throws {ToascopeError} MISSING_TOOL, MODULE_NO_HEADERS, MODULE_BUILD_FAILED, DKMS_FAILED, NO_PRIVILEGE
 */
export async function installModule(config: Config, roots: Roots = hostRoots): Promise<string[]> {
	if (!isInstalled('dkms')) {
		throw new ToascopeError('MISSING_TOOL', 'dkms is not installed: it builds the module for each new kernel', {
			hint: `${howToInstall([{ part: 'dkms' }], readDistribution(roots))}; without it: toascope module build after each new kernel`,
		});
	}
	requireParts(release(), roots);
	return [...(await installByDkms(roots)), ...loadAtBoot(config, roots)];
}
