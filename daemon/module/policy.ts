// SPDX-License-Identifier: Apache-2.0
/** Policies of this host that forbid modules: lockdown, and required signatures. */
import { join } from 'node:path';
import { readText } from '../host/files.ts';
import { hostRoots, type Roots } from '../host/roots.ts';

/** Policies that can forbid a module, whatever it contains. */
export interface Policy {
	/** `none`, `integrity` or `confidentiality`; undefined: this kernel has no lockdown. */
	readonly lockdown: string | undefined;
	/** module.sig_enforce: the kernel accepts only signed modules. */
	readonly signedOnly: boolean;
	/** UEFI Secure Boot; undefined: the state is not readable on this machine. */
	readonly secureBoot: boolean | undefined;
}

export function readPolicy({ sys }: Roots = hostRoots): Policy {
	// four bytes of attributes, and the value (UEFI specification, section 8.2)
	const variable = 'firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c';
	const secureBoot = readText(join(sys, variable));
	return {
		lockdown: /\[(\w+)\]/.exec(readText(join(sys, 'kernel/security/lockdown')) ?? '')?.[1],
		signedOnly: readText(join(sys, 'module/module/parameters/sig_enforce')) === 'Y',
		secureBoot: secureBoot === undefined ? undefined : secureBoot.charCodeAt(secureBoot.length - 1) === 1,
	};
}

export function isLockedDown({ lockdown = 'none' }: Policy): boolean {
	return lockdown !== 'none';
}

/** Why unsigned modules are refused; undefined: no policy that refuses them is known. */
export function signedOnlyReason(policy: Policy): string | undefined {
	const { lockdown, signedOnly, secureBoot } = policy;
	if (isLockedDown(policy)) return `kernel lockdown is ${lockdown}${secureBoot === true ? ' under Secure Boot' : ''}`;
	return signedOnly ? 'module.sig_enforce is on' : undefined;
}
