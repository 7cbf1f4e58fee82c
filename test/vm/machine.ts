// SPDX-License-Identifier: Apache-2.0
/** A kernel of the matrix in QEMU. What it has for a root, and what it does there, is the initramfs's and its script's. */
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
/** What Node compiles in guests; all of them share it. */
const nodeCache = join(tree, 'build/vm/node');

/** A root that is not this machine's. */
export interface GuestRoot {
	/** The directory that is / in the guest. */
	readonly directory: string;
	/** Where this tree is in the guest. */
	readonly tree: string;
	/** A directory whose files are there as well, and hide the tree's: what is built for the guest's architecture. */
	readonly layer?: string;
	/** A static busybox for the guest's architecture, where that is not this machine's. */
	readonly busybox?: string;
}

export interface MachineOptions {
	readonly fetched: Fetched;
	/** Where the initramfs and the serial log go. */
	readonly directory: string;
	/** What becomes init: a path in the guest. */
	readonly script: string;
	/** For the script: `toascope.NAME=VALUE` on the kernel's command line. */
	readonly words?: Readonly<Record<string, string>>;
	/** More for the kernel's command line. */
	readonly kernelArguments?: readonly string[];
	/** Not this machine's own / as the guest's. */
	readonly root?: GuestRoot;
	/** More of QEMU's own. */
	readonly machineArguments?: readonly string[];
	/** It is killed then. */
	readonly limitSeconds: number;
}

// Two processors, but one thread of QEMU for both: up to QEMU 8.0 two threads may run code that the other has just
// patched (mended by "accel/tcg: Always lock pages before translation"), and the kernel patches itself for each probe.
const emulation = ['-accel', 'tcg,thread=single', '-smp', '2', '-m', '3072', '-nographic', '-no-reboot'];

/** A directory of this machine's, for the guest to mount by that tag. */
function shared(tag: string, path: string, options: readonly string[]): string[] {
	return ['-virtfs', [`local,path=${path},mount_tag=${tag},security_model=none`, ...options].join(',')];
}

export class Machine {
	/** The whole of the serial line. */
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

	/** @throws Error when there is no kernel, or the initramfs cannot be made. */
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
		const place: Record<string, string> = root === undefined ? {} : { root: root.directory, at: root.tree };
		const given = { script, tree, modules: join(fetched.image, modules ?? ''), ...place, ...options.words };
		const words = Object.entries(given).map(([name, value]) => `toascope.${name}=${value}`);
		const line = [...kernelArguments, 'panic=-1 quiet', ...words, ...(options.kernelArguments ?? [])];
		const qemu = spawn(
			// it ends with this process, however that ends
			'setpriv',
			[
				...['--pdeathsig', 'KILL', '--', program],
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

	/** The serial line, to its end. It goes to the log as well. */
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

	/** Whether its limit has ended it. */
	get late(): boolean {
		return this.#late;
	}
}
