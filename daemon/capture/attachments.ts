// SPDX-License-Identifier: Apache-2.0
/** Which programs are to be attached, and by which pins they outlive the daemon. */
import type { BpfObject, LinkState } from './native.ts';
import type { Pins } from './pins.ts';
import type { ServedCgroup } from './served_cgroup.ts';
import { functionsOff } from './tracing_switch.ts';

/** `iterator`: it is run. `function`, `tracepoint`: of the kernel or a module. `cgroup`: on the sockets of the cgroup. */
type Hook = 'iterator' | 'function' | 'tracepoint' | 'cgroup';

/** A program that is to be attached. */
export interface Attachment {
	readonly program: string;
	/** The number by which the kernel knows it; undefined: there is no link. */
	readonly id: number | undefined;
	readonly attached: boolean;
	/** Its hook is gone, and must come back before it can be attached: the cgroup. */
	readonly hookGone: boolean;
	/** Its link is as it was, and the kernel does not run it: the tracing of functions is switched off. */
	readonly switchedOff: boolean;
}

export class Attachments {
	readonly #bpf: BpfObject;
	readonly #pins: Pins | undefined;
	readonly #cgroup: ServedCgroup;
	readonly #wanted = new Map<string, Hook>();

	constructor(bpf: BpfObject, pins: Pins | undefined, cgroup: ServedCgroup) {
		this.#bpf = bpf;
		this.#pins = pins;
		this.#cgroup = cgroup;
	}

	/** Iterators hang nowhere: they are run. */
	iterator(program: string): void {
		this.#bpf.attach(program, {});
		this.#wanted.set(program, 'iterator');
	}

	/** On a function or a tracepoint, which the program's section names. */
	traced(program: string, hook: 'function' | 'tracepoint'): void {
		this.#attach(program, hook);
	}

	/** On the sockets of the cgroup, or off them. */
	cgroup(program: string, wanted = true): void {
		const attached = this.#wanted.has(program);
		if (wanted && !attached) this.#attach(program, 'cgroup');
		else if (!wanted && attached) this.detach(program);
	}

	#attach(program: string, hook: Hook, drain = false): void {
		if (hook === 'cgroup' && this.#cgroup.id === undefined) {
			// awaited: again() attaches it when the cgroup is there
			this.#wanted.set(program, hook);
			return;
		}
		const to = hook === 'cgroup' ? { cgroup: this.#cgroup.path, drain } : {};
		this.#bpf.attach(program, this.#pins === undefined ? to : { ...to, pin: this.#pins.link(program) });
		this.#wanted.set(program, hook);
	}

	/** It was attached here, or waits for its cgroup; state() says whether it is. */
	has(program: string): boolean {
		return this.#wanted.has(program);
	}

	/** What the kernel says of each program. */
	state(): Attachment[] {
		const links = new Map(this.#bpf.links().map((link) => [link.program, link]));
		const id = this.#cgroup.id;
		const off = functionsOff() !== undefined;
		return [...this.#wanted].map(([program, hook]) => {
			const link = links.get(program);
			const linked = link?.ours === true && (hook !== 'cgroup' || isOn(link, id));
			const switchedOff = linked && off && hook === 'function';
			return {
				program,
				id: link?.programId,
				attached: linked && !switchedOff,
				hookGone: hook === 'cgroup' && id === undefined,
				switchedOff,
			};
		});
	}

	/** Attaches a program that is not attached any more. Connections of a cgroup that was removed go on to be seen. */
	again(program: string): void {
		const hook = this.#wanted.get(program);
		if (hook !== undefined && hook !== 'iterator') this.#attach(program, hook, true);
	}

	/** Programs that are to outlive the daemon and do not: they are detached, or no pin keeps them. */
	unkept(pinnedId: (path: string) => number | undefined): string[] {
		const pins = this.#pins;
		const links = new Map(this.#bpf.links().map((link) => [link.program, link]));
		const kept = (program: string) => {
			const link = links.get(program);
			return link !== undefined && pins !== undefined && pinnedId(pins.link(program)) === link.id;
		};
		return this.state()
			.filter(({ program, attached, switchedOff }) => {
				return this.#isPinned(program) && !((attached || switchedOff) && kept(program));
			})
			.map(({ program }) => program);
	}

	/** Puts the pins of links back where others are, or none. Returns the programs whose pins were missing. */
	restorePins(pinnedId: (path: string) => number | undefined): string[] {
		const pins = this.#pins;
		if (pins === undefined) return [];
		const links = this.#bpf.links().filter(({ program }) => this.#isPinned(program));
		const missing = links.filter(({ program, id }) => pinnedId(pins.link(program)) !== id);
		for (const { program } of missing) this.#bpf.pin(program, pins.link(program));
		return missing.map(({ program }) => program);
	}

	#isPinned(program: string): boolean {
		const hook = this.#wanted.get(program);
		return hook !== undefined && hook !== 'iterator';
	}

	/** Returns whether it is still attached, by a pin that could not be taken away. */
	detach(program: string): boolean {
		if (!this.#wanted.delete(program)) return false;
		return this.#bpf.detach(program).attached;
	}

	/** Returns the programs that are still attached, by pins that could not be taken away. */
	detachAll(): string[] {
		return [...this.#wanted.keys()].filter((program) => this.detach(program));
	}

	/** Takes away what a daemon before this one needed and this one does not. */
	dropOthers(maps: readonly string[]): void {
		this.#pins?.unlinkOthers(maps, new Set(this.#wanted.keys()));
	}
}

/** Whether a link is on this cgroup: the one that it was attached to may be removed, and another made at its path. */
function isOn({ cgroup }: LinkState, id: bigint | undefined): boolean {
	return cgroup !== undefined && cgroup !== 0n && cgroup === id;
}
