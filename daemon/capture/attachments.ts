// SPDX-License-Identifier: Apache-2.0
/**
 * Attaches and detaches programs, and says which should be attached. Pins let them outlive the
 * daemon.
 */
import type { BpfObject, LinkState } from '../../native/binding.ts';
import { ftraceOffReason } from '../host/tracing_switch.ts';
import type { Pins } from './pinning/pins.ts';
import type { ServedCgroup } from './served_cgroup.ts';

/**
 * `iterator`: the daemon runs it. `function`, `tracepoint`: on one of the kernel or a module.
 * `cgroup`: on the sockets of the cgroup.
 */
type Hook = 'iterator' | 'function' | 'tracepoint' | 'cgroup';

/** A program that should be attached. */
export interface Attachment {
	readonly program: string;
	/** The id of the program in the kernel; undefined: there is no link. */
	readonly id: number | undefined;
	readonly attached: boolean;
	/**
	 * The cgroup that it attaches to does not exist, and must be created before it can be attached.
	 */
	readonly hookGone: boolean;
	/** Its link is intact, but the kernel does not run it: function tracing is switched off. */
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

	/** Attaches an iterator: it is on no hook, the daemon runs it. */
	attachIterator(program: string): void {
		this.#bpf.attach(program, {});
		this.#wanted.set(program, 'iterator');
	}

	/** Attaches a program to the function or tracepoint that its section names. */
	attachTraced(program: string, hook: 'function' | 'tracepoint'): void {
		this.#attach(program, hook);
	}

	/** Attaches a program to the sockets of the cgroup, or detaches it. */
	setOnCgroup(program: string, wanted = true): void {
		const attached = this.#wanted.has(program);
		if (wanted && !attached) this.#attach(program, 'cgroup');
		else if (!wanted && attached) this.detach(program);
	}

	#attach(program: string, hook: Hook, drain = false): void {
		if (hook === 'cgroup' && this.#cgroup.id === undefined) {
			// not attached yet: reattach() attaches it once the cgroup exists
			this.#wanted.set(program, hook);
			return;
		}
		const to = hook === 'cgroup' ? { cgroup: this.#cgroup.path, drain } : {};
		this.#bpf.attach(program, this.#pins === undefined ? to : { ...to, pin: this.#pins.link(program) });
		this.#wanted.set(program, hook);
	}

	/**
	 * Whether a program was attached here, or waits for its cgroup; state() says whether it is
	 * attached.
	 */
	has(program: string): boolean {
		return this.#wanted.has(program);
	}

	/** The state of each program, as reported by the kernel. */
	state(): Attachment[] {
		const links = new Map(this.#bpf.links().map((link) => [link.program, link]));
		const id = this.#cgroup.id;
		const off = ftraceOffReason() !== undefined;
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

	/**
	 * Attaches a program again that was detached. Connections of a removed cgroup continue to be
	 * observed.
	 */
	reattach(program: string): void {
		const hook = this.#wanted.get(program);
		if (hook !== undefined && hook !== 'iterator') this.#attach(program, hook, true);
	}

	/**
	 * The programs that should outlive the daemon but will not: they are detached, or not pinned.
	 */
	unpinned(pinnedId: (path: string) => number | undefined): string[] {
		const pins = this.#pins;
		const links = new Map(this.#bpf.links().map((link) => [link.program, link]));
		const hasPinnedLink = (program: string) => {
			const link = links.get(program);
			return link !== undefined && pins !== undefined && pinnedId(pins.link(program)) === link.id;
		};
		return this.state()
			.filter(({ program, attached, switchedOff }) => {
				return this.#isPinned(program) && !((attached || switchedOff) && hasPinnedLink(program));
			})
			.map(({ program }) => program);
	}

	/**
	 * Pins links again where another object is pinned, or none. Returns the programs whose pins
	 * were missing.
	 */
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

	/**
	 * Detaches a program. Returns whether it is still attached because its pin could not be
	 * removed.
	 */
	detach(program: string): boolean {
		if (!this.#wanted.delete(program)) return false;
		return this.#bpf.detach(program).attached;
	}

	/**
	 * Detaches all programs. Returns those that are still attached because their pins could not be
	 * removed.
	 */
	detachAll(): string[] {
		return [...this.#wanted.keys()].filter((program) => this.detach(program));
	}

	/** Removes the pins that an earlier daemon needed and this one does not. */
	dropOthers(maps: readonly string[]): void {
		this.#pins?.unlinkOthers(maps, new Set(this.#wanted.keys()));
	}
}

/**
 * Whether a link is attached to this cgroup: the one that it was attached to can have been removed,
 * and another created at the same path.
 */
function isOn({ cgroup }: LinkState, id: bigint | undefined): boolean {
	return cgroup !== undefined && cgroup !== 0n && cgroup === id;
}
