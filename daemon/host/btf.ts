// SPDX-License-Identifier: Apache-2.0
/** The kernel's type information (BTF), which every BPF program of toascope requires to load. */

export const btfPath = '/sys/kernel/btf/vmlinux';

/** Explains a missing BTF file, and what to do. `hasSysfs`: /sys/kernel exists. */
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
