// SPDX-License-Identifier: Apache-2.0
/** What of this host forbids modules: lockdown, and signatures that the kernel asks for. */
import { join } from 'node:path';
import { readText } from './loaded.ts';
import { hostRoots, type Roots } from './roots.ts';

/** What may forbid a module, whatever is in it. */
export interface Policy {
	/** `none`, `integrity` or `confidentiality`; undefined: this kernel has no lockdown. */
	readonly lockdown: string | undefined;
	/** module.sig_enforce: signed modules alone. */
	readonly signedOnly: boolean;
	/** UEFI Secure Boot; undefined: this machine does not tell. */
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

export function isLocked({ lockdown = 'none' }: Policy): boolean {
	return lockdown !== 'none';
}

/** Why modules without a signature are refused; undefined: they are not, as far as is told. */
export function whySignedOnly(policy: Policy): string | undefined {
	const { lockdown, signedOnly, secureBoot } = policy;
	if (isLocked(policy)) return `kernel lockdown is ${lockdown}${secureBoot === true ? ' under Secure Boot' : ''}`;
	return signedOnly ? 'module.sig_enforce is on' : undefined;
}
