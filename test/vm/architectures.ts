// SPDX-License-Identifier: Apache-2.0
/** Everything that differs between the architectures of guests. */

export interface Architecture {
	/** Debian's name for it. */
	readonly name: string;
	/** The name that Node and npm have for it. */
	readonly node: NodeJS.Architecture;
	/** The folder of its libraries and headers below /usr/lib and /usr/include. */
	readonly triplet: string;
	/** Prefix of the names of its compilers and tools; empty for this machine's own. */
	readonly toolPrefix: string;
	/** Variables for the kernel's Makefiles. */
	readonly make: readonly string[];
	/** QEMU's program. */
	readonly qemu: string;
	/** The machine and the processor that QEMU emulates. */
	readonly hardware: readonly string[];
	/** For the kernel's command line, such as the console. */
	readonly kernelArguments: readonly string[];
	/** Commands of this machine that its guests require, in addition to those for all guests. */
	readonly commands: readonly string[];
}

export const amd64: Architecture = {
	name: 'amd64',
	node: 'x64',
	triplet: 'x86_64-linux-gnu',
	toolPrefix: '',
	make: [],
	qemu: 'qemu-system-x86_64',
	hardware: ['-cpu', 'max'],
	// without no_timer_check, the kernel panics on a busy machine: it does not see its emulated
	// timer tick in time
	kernelArguments: ['console=ttyS0', 'no_timer_check'],
	commands: ['qemu-system-x86_64', 'gcc-12'],
};

export const arm64: Architecture = {
	name: 'arm64',
	node: 'arm64',
	triplet: 'aarch64-linux-gnu',
	toolPrefix: 'aarch64-linux-gnu-',
	make: ['ARCH=arm64', 'CROSS_COMPILE=aarch64-linux-gnu-'],
	qemu: 'qemu-system-aarch64',
	// the algorithm of processors for signing pointers is slow to emulate; QEMU has one of its own
	hardware: ['-machine', 'virt', '-cpu', 'max,pauth-impdef=on'],
	kernelArguments: ['console=ttyAMA0'],
	commands: ['qemu-system-aarch64', 'aarch64-linux-gnu-gcc-12', 'aarch64-linux-gnu-g++-12'],
};
