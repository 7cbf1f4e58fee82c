// SPDX-License-Identifier: Apache-2.0
/** Installs toa.ko permanently: DKMS builds it for each new kernel, systemd loads it at boot. */
import { release } from 'node:os';
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';
import { installCommand, readDistribution } from '../host/packages.ts';
import { hostRoots, type Roots } from '../host/roots.ts';
import { isInstalled } from '../host/tool.ts';
import { loadAtBoot } from './boot.ts';
import { requireParts } from './build.ts';
import { installByDkms } from './dkms.ts';

/**
 * Can be repeated. Returns the steps as text for the user.
 * @throws {ToascopeError} MISSING_TOOL, MODULE_NO_HEADERS, MODULE_BUILD_FAILED, DKMS_FAILED,
 * NO_PRIVILEGE
 */
export async function installModule(config: Config, roots: Roots = hostRoots): Promise<string[]> {
	if (!isInstalled('dkms')) {
		throw new ToascopeError('MISSING_TOOL', 'dkms is not installed: it builds the module for each new kernel', {
			hint: `${installCommand([{ part: 'dkms' }], readDistribution(roots))}; without dkms, run toascope module build after each kernel upgrade`,
		});
	}
	requireParts(release(), roots);
	return [...(await installByDkms(roots)), ...loadAtBoot(config, roots)];
}
