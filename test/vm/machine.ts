// SPDX-License-Identifier: Apache-2.0
/**
 * A kernel of the matrix in QEMU. The initramfs decides on its root, and the script on what it does
 * there.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createWriteStream, globSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import type { Fetched } from './packages.ts';
import { run } from './run.ts';

const here = import.meta.dirname;
const tree = join(here, '../..');
/** Node's compile cache in guests, which all of them share. */
const nodeCache = join(tree, 'build/vm/node');

/** A root that is not this machine's. */
export interface GuestRoot {
	/** The directory that is / in the guest. */
	readonly directory: string;
	/** Where this tree is in the guest. */
	readonly tree: string;
	/** A directory that is overlaid on the tree: what is built for the guest's architecture. */
	readonly layer?: string;
	/** A static busybox for the guest's architecture, if that is not this machine's. */
	readonly busybox?: string;
}

export interface MachineOptions {
	readonly fetched: Fetched;
	/** The directory for the initramfs and the serial log. */
	readonly directory: string;
	/** The script that becomes init: a path in the guest. */
	readonly script: string;
	/** For the script: `toascope.NAME=VALUE` on the kernel's command line. */
	readonly words?: Readonly<Record<string, string>>;
	/** Additional words for the kernel's command line. */
	readonly kernelArguments?: readonly string[];
	/** The guest's root, if it is not this machine's /. */
	readonly root?: GuestRoot;
	/** Additional arguments for QEMU. */
	readonly machineArguments?: readonly string[];
	/** QEMU is killed after this time. */
	readonly limitSeconds: number;
}

// Two processors, but one thread of QEMU for both. Up to QEMU 8.0, with two threads, one can run
// code that the other has just patched (fixed by "accel/tcg: Always lock pages before
// translation"), and the kernel patches itself for each probe.
const emulation = ['-accel', 'tcg,thread=single', '-smp', '2', '-m', '3072', '-nographic', '-no-reboot'];

/** A directory of this machine, which the guest mounts by this tag. */
function shared(tag: string, path: string, options: readonly string[]): string[] {
	return ['-virtfs', [`local,path=${path},mount_tag=${tag},security_model=none`, ...options].join(',')];
}

export class Machine {
	/** The file with the whole serial output. */
	readonly log: string;
	readonly #qemu: ChildProcessByStdio<null, Readable, null>;
	readonly #limit: NodeJS.Timeout;
	#late = false;

	private constructor(log: string, qemu: ChildProcessByStdio<null, Readable, null>, limitSeconds: number) {
		this.log = log;
		this.#qemu = qemu;
		this.#limit = setTimeout(() => {
			this.#late = true;
			this.kill();
		}, limitSeconds * 1000);
	}

	/** @throws Error if there is no kernel, or the initramfs cannot be created. */
	static async start(options: MachineOptions): Promise<Machine> {
		const { fetched, directory, script, root, limitSeconds } = options;
		const { qemu: program, hardware, kernelArguments } = fetched.architecture;
		mkdirSync(directory, { recursive: true });
		mkdirSync(nodeCache, { recursive: true });
		const initramfs = join(directory, 'initramfs');
		const busybox = root?.busybox === undefined ? [] : [root.busybox];
		await run('sh', [join(here, 'initramfs.sh'), fetched.image, fetched.release, initramfs, ...busybox]);
		const [image] = globSync(['boot/vmlinuz*', 'usr/lib/modules/*/vmlinuz'], { cwd: fetched.image });
		if (image === undefined) throw new Error(`${fetched.release}: no kernel in ${fetched.image}`);
		const [modules] = globSync(['lib/modules', 'usr/lib/modules'], { cwd: fetched.image });
		const rootWords: Record<string, string> = root === undefined ? {} : { root: root.directory, at: root.tree };
		const given = { script, tree, modules: join(fetched.image, modules ?? ''), ...rootWords, ...options.words };
		const words = Object.entries(given).map(([name, value]) => `toascope.${name}=${value}`);
		const line = [...kernelArguments, 'panic=-1 quiet', ...words, ...(options.kernelArguments ?? [])];
		const qemu = spawn(
			// QEMU leaves the processors to the tests on this kernel, which run at the same time, and ends
			// with this process, however that ends
			'nice',
			[
				...['-n', '19', 'setpriv', '--pdeathsig', 'KILL', '--', program],
				...emulation,
				...hardware,
				...['-kernel', join(fetched.image, image), '-initrd', initramfs, '-append', line.join(' ')],
				...shared('hostroot', '/', ['readonly=on', 'multidevs=remap']),
				...shared('node', nodeCache, []),
				...(root?.layer === undefined ? [] : shared('layer', root.layer, ['readonly=on'])),
				...(options.machineArguments ?? []),
			],
			{ stdio: ['ignore', 'pipe', 'inherit'] },
		);
		return new Machine(join(directory, 'serial.log'), qemu, limitSeconds);
	}

	/** The lines of the serial output, until its end. They are written to the log as well. */
	async *lines(): AsyncGenerator<string> {
		const file = createWriteStream(this.log);
		try {
			for await (const raw of createInterface({ input: this.#qemu.stdout })) {
				const text = stripVTControlCharacters(raw).replace(/\r/g, '');
				file.write(`${text}\n`);
				yield text;
			}
		} finally {
			clearTimeout(this.#limit);
			file.end();
		}
	}

	kill(): void {
		this.#qemu.kill('SIGKILL');
	}

	/** Whether it was killed at its time limit. */
	get late(): boolean {
		return this.#late;
	}
}
