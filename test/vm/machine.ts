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
	/** More of QEMU's own. */
	readonly machineArguments?: readonly string[];
	/** It is killed then. */
	readonly limitSeconds: number;
}

// Two processors, but one thread of QEMU for both: up to QEMU 8.0 two threads may run code that the other has just
// patched (mended by "accel/tcg: Always lock pages before translation"), and the kernel patches itself for each probe.
const hardware = ['-accel', 'tcg,thread=single', '-smp', '2', '-cpu', 'max', '-m', '3072', '-nographic', '-no-reboot'];

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
		const { fetched, directory, script, limitSeconds } = options;
		mkdirSync(directory, { recursive: true });
		mkdirSync(nodeCache, { recursive: true });
		const initramfs = join(directory, 'initramfs');
		await run('sh', [join(here, 'initramfs.sh'), fetched.image, fetched.release, initramfs]);
		const [image] = globSync(['boot/vmlinuz*', 'usr/lib/modules/*/vmlinuz'], { cwd: fetched.image });
		if (image === undefined) throw new Error(`${fetched.release}: no kernel in ${fetched.image}`);
		const [modules] = globSync(['lib/modules', 'usr/lib/modules'], { cwd: fetched.image });
		const given = { script, tree, modules: join(fetched.image, modules ?? ''), ...options.words };
		const words = Object.entries(given).map(([name, value]) => `toascope.${name}=${value}`);
		// on a busy machine the kernel would not see its emulated timer tick in time, and panic (no_timer_check)
		const line = ['console=ttyS0 panic=-1 quiet no_timer_check', ...words, ...(options.kernelArguments ?? [])];
		const qemu = spawn(
			// it ends with this process, however that ends
			'setpriv',
			[
				...['--pdeathsig', 'KILL', '--', 'qemu-system-x86_64'],
				...hardware,
				...['-kernel', join(fetched.image, image), '-initrd', initramfs, '-append', line.join(' ')],
				...['-virtfs', 'local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap'],
				...['-virtfs', `local,path=${nodeCache},mount_tag=node,security_model=none`],
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
