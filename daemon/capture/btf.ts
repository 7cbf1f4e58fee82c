// SPDX-License-Identifier: Apache-2.0
/** The kernel's types (BTF), without which no program of toascope can be loaded. */

export const btfPath = '/sys/kernel/btf/vmlinux';

/** What is wrong where the file is not there, and what to do. `hasSysfs`: /sys/kernel is there. */
export function missingBtf(hasSysfs: boolean): { readonly found: string; readonly advice: string } {
	return hasSysfs
		? {
				found: `this kernel has no BTF: ${btfPath} is missing`,
				advice: 'use a kernel built with CONFIG_DEBUG_INFO_BTF',
			}
		: {
				found: `/sys is not mounted here, so the kernel's BTF (${btfPath}) cannot be read`,
				advice: 'mount -t sysfs sysfs /sys; a container gets it from its runtime (-v /sys:/sys)',
			};
}
