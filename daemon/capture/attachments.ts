// SPDX-License-Identifier: Apache-2.0
/** Which programs hang in the kernel, and by which pins they outlive the daemon. */
import type { BpfObject } from './native.ts';
import type { Pins } from './pins.ts';

export class Attachments {
	readonly #bpf: BpfObject;
	readonly #pins: Pins | undefined;
	readonly #cgroup: string;
	readonly #attached = new Set<string>();

	constructor(bpf: BpfObject, pins: Pins | undefined, cgroup: string) {
		this.#bpf = bpf;
		this.#pins = pins;
		this.#cgroup = cgroup;
	}

	/** Iterators hang nowhere: they are run. */
	iterator(program: string, map?: string): void {
		this.#bpf.attach(program, map === undefined ? {} : { map });
		this.#attached.add(program);
	}

	/** On a function or a tracepoint of the kernel, which the program's section names. */
	traced(program: string): void {
		this.#attach(program, {});
	}

	/** On the sockets of the cgroup, or off them. */
	cgroup(program: string, wanted = true): void {
		const attached = this.#attached.has(program);
		if (wanted && !attached) this.#attach(program, { cgroup: this.#cgroup });
		else if (!wanted && attached) this.detach(program);
	}

	#attach(program: string, to: { cgroup?: string }): void {
		this.#bpf.attach(program, this.#pins === undefined ? to : { ...to, pin: this.#pins.link(program) });
		this.#attached.add(program);
	}

	has(program: string): boolean {
		return this.#attached.has(program);
	}

	detach(program: string): void {
		if (this.#attached.delete(program)) this.#bpf.detach(program);
	}

	detachAll(): void {
		for (const program of this.#attached) this.detach(program);
	}

	/** Takes away what a daemon before this one needed and this one does not. */
	dropOthers(maps: readonly string[]): void {
		this.#pins?.unlinkOthers(maps, this.#attached);
	}
}
