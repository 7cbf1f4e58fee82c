// SPDX-License-Identifier: Apache-2.0
/**
 * A cgroup with the memory controller of cgroup v2 for a daemon: the memory charged to it, by kind,
 * and a limit as MemoryMax= sets it.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findCgroup2, readMounts } from '../../../daemon/host/mounts.ts';
import { removeCgroup } from './cgroup.ts';

const mount = findCgroup2(readMounts());

/**
 * Enables the memory controller for cgroups below the root, until it is disposed. This is not
 * possible where cgroup v1 has the controller.
 */
export class MemoryController implements Disposable {
	/** The mount point of cgroup v2. */
	readonly root: string;

	constructor() {
		if (mount === undefined) throw new Error('cgroup v2 is not mounted');
		if (!readFileSync(join(mount, 'cgroup.controllers'), 'utf8').split(/\s/).includes('memory')) {
			throw new Error(`no memory controller in ${mount}`);
		}
		this.root = mount;
		this.#switch('+memory');
	}

	#switch(to: string): void {
		writeFileSync(join(this.root, 'cgroup.subtree_control'), to);
	}

	[Symbol.dispose](): void {
		this.#switch('-memory');
	}
}

export class MemoryCgroup implements AsyncDisposable {
	readonly directory: string;
	/** A command that executes another one in this cgroup, for `through` of Daemon.start(). */
	readonly through: readonly string[];

	constructor(directory: string) {
		this.directory = directory;
		mkdirSync(directory);
		this.through = ['sh', '-ec', `echo $$ >${directory}/cgroup.procs; exec "$@"`, 'sh'];
	}

	#read(file: string): string {
		return readFileSync(join(this.directory, file), 'utf8').trim();
	}

	/** memory.current, bytes. */
	get current(): number {
		return Number(this.#read('memory.current'));
	}

	/** memory.max, bytes. */
	set max(bytes: number) {
		writeFileSync(join(this.directory, 'memory.max'), String(bytes));
	}

	#fields(file: string): Readonly<Record<string, number>> {
		const lines = this.#read(file).split('\n');
		return Object.fromEntries(lines.map((line) => line.split(' ')).map(([name, value]) => [name, Number(value)]));
	}

	/** memory.stat: bytes by kind, including `kernel` and its parts. */
	get stat(): Readonly<Record<string, number>> {
		return this.#fields('memory.stat');
	}

	/** memory.events: the number of times that each has happened. */
	get events(): Readonly<Record<string, number>> {
		return this.#fields('memory.events');
	}

	/** Removes the cgroup as soon as the last process has left. */
	[Symbol.asyncDispose](): Promise<void> {
		return removeCgroup(this.directory);
	}
}
