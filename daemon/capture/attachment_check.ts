// SPDX-License-Identifier: Apache-2.0
/**
 * Attached means asked: what was attached and pinned may be detached, removed or hidden by others. Each check asks the
 * kernel, reports what it finds gone, and puts it back.
 */
import { type LogSink, logLines, tell } from '../log_lines.ts';
import type { Attachment, Attachments } from './attachments.ts';
import { CgroupWatch } from './cgroup_watch.ts';
import type { KeptSyns } from './kept_syns.ts';
import { type BpfObject, native } from './native.ts';
import type { Pins } from './pins.ts';
import type { ServedCgroup } from './served_cgroup.ts';

/** What the latest check found. */
export interface AttachmentReport {
	readonly programs: readonly Attachment[];
	/** How often something was found gone, by program, and `pins`. */
	readonly lost: Readonly<Record<string, bigint>>;
	/** Why the daemon is not ready; empty: all that should be attached is. */
	readonly missing: readonly Missing[];
}

/** A reason not to be ready, and what is wrong, for operators. */
export interface Missing {
	readonly reason: (typeof missingReasons)[number];
	readonly text: string;
}

export const missingReasons = ['cgroup_missing', 'programs_detached', 'pins_missing'] as const;

export const nothingAttached: AttachmentReport = { programs: [], lost: {}, missing: [] };

/** What is checked. */
export interface Checked {
	readonly bpf: BpfObject;
	readonly pins: Pins | undefined;
	readonly attachments: Attachments;
	readonly cgroup: ServedCgroup;
	/** Maps that are pinned. */
	readonly maps: readonly string[];
	readonly keptSyns: KeptSyns;
	/** Called before programs are attached again to a cgroup that was made anew. */
	readonly onCgroup: () => void;
}

/** All descriptors of the host are walked for it: not at each check. */
const synsMs = 15_000;

export class AttachmentCheck {
	readonly #checked: Checked;
	readonly #log: LogSink;
	readonly #lost = new Map<string, bigint>();
	/** Programs that the check before found detached. */
	#detached: readonly string[] = [];
	#pinsFault = '';
	/** What refused to attach again; told when it changes. */
	#refusal = '';
	#report: AttachmentReport = nothingAttached;
	#attachedAgain = false;
	#synsCheckedMs = performance.now();
	#watch: CgroupWatch | undefined;

	constructor(checked: Checked, log: LogSink) {
		this.#checked = checked;
		this.#log = log;
	}

	/** A check between the others: it comes in the middle of nothing, and what fails in it fails in the next one. */
	#changed(): void {
		try {
			this.run();
		} catch (err) {
			tell(this.#log, logLines.taskFailed, { err, task: 'attachments' });
		}
	}

	close(): void {
		this.#watch?.close();
	}

	get report(): AttachmentReport {
		return this.#report;
	}

	/** The report is what was found; what was put back since is in the next one. */
	run(): void {
		const { path, wholeHost } = this.#checked.cgroup;
		// not before the first: a start that failed leaves no watch
		if (!wholeHost) this.#watch ??= new CgroupWatch(path, () => this.#changed());
		const programs = this.#checked.attachments.state();
		const missing = [...this.#checkPrograms(programs), ...this.#checkPins()];
		this.#checkSyns();
		this.#report = { programs, lost: this.#lostOf(programs), missing };
	}

	#checkPrograms(programs: readonly Attachment[]): Missing[] {
		const gone = programs.filter(({ attached }) => !attached);
		const names = gone.map(({ program }) => program);
		const cgroupGone = gone.some(({ hookGone }) => hookGone);
		const fresh = names.filter((name) => !this.#detached.includes(name));
		const cgroup = this.#checked.cgroup.path;
		// what was never attached was not lost
		const awaited = gone.some(({ program, id, hookGone }) => hookGone && id === undefined && fresh.includes(program));
		if (awaited) tell(this.#log, logLines.cgroupAwaited, { cgroup });
		else for (const name of fresh) this.#count(name);
		if (fresh.length > 0 && !awaited)
			tell(this.#log, logLines.detached, { programs: fresh, cgroup, cgroup_exists: !cgroupGone });
		this.#detached = names;
		if (gone.length === 0) return [];
		if (cgroupGone) this.#watch?.renew();
		this.#attachAgain(gone);
		return cgroupGone
			? [{ reason: 'cgroup_missing', text: `the cgroup ${cgroup} does not exist` }]
			: [{ reason: 'programs_detached', text: `programs were found detached: ${names.join(', ')}` }];
	}

	#attachAgain(gone: readonly Attachment[]): void {
		const { attachments, onCgroup } = this.#checked;
		const possible = gone.filter(({ hookGone }) => !hookGone).map(({ program }) => program);
		if (possible.length === 0) return;
		try {
			onCgroup();
			// what counts comes last: the others are to know each connection that it announces
			for (const program of possible.toSorted(sockopsLast)) attachments.again(program);
			this.#refusal = '';
			this.#attachedAgain = true;
			// one of these that is gone at the next check is gone once more
			this.#detached = this.#detached.filter((program) => !possible.includes(program));
			tell(this.#log, logLines.attachedAgain, { programs: possible, cgroup: this.#checked.cgroup.path });
		} catch (err) {
			const refusal = err instanceof Error ? err.message : String(err);
			if (refusal !== this.#refusal) tell(this.#log, logLines.notAttachedAgain, { err });
			this.#refusal = refusal;
		}
	}

	/** Pins are what the next daemon goes on with, and what keeps programs attached while none runs. */
	#checkPins(): Missing[] {
		const { pins, attachments, bpf, maps } = this.#checked;
		if (pins === undefined) return [];
		let fault = '';
		try {
			if (pins.removed) pins.remake();
			const pinnedId = (path: string) => native().pinnedId(path);
			const lost = attachments.restorePins(pinnedId);
			const lostMaps = maps.filter((map) => pinnedId(pins.map(map)) !== bpf.mapId(map));
			for (const map of lostMaps) bpf.pin(map, pins.map(map));
			const all = [...lost, ...lostMaps];
			if (all.length > 0) {
				this.#count('pins');
				tell(this.#log, logLines.pinsRestored, { pins: pins.shown, names: all });
			}
			if (!pins.inPlace) fault = 'is hidden by another mount, or was moved';
			else if (all.length > 0) return [{ reason: 'pins_missing', text: `pins were missing in ${pins.shown}` }];
		} catch (error) {
			fault = `cannot be used: ${error instanceof Error ? error.message : String(error)}`;
		}
		if (fault !== '' && fault !== this.#pinsFault) {
			this.#count('pins');
			tell(this.#log, logLines.pinsHidden, { pins: pins.shown, why: fault });
		} else if (fault === '' && this.#pinsFault !== '') {
			tell(this.#log, logLines.pinsBack, { pins: pins.shown });
		}
		this.#pinsFault = fault;
		return fault === '' ? [] : [{ reason: 'pins_missing', text: `the directory of pins ${pins.shown} ${fault}` }];
	}

	/** Listeners that began while programs were detached were not told to keep their SYNs. */
	#checkSyns(): void {
		if (!this.#attachedAgain && performance.now() - this.#synsCheckedMs < synsMs) return;
		this.#attachedAgain = false;
		this.#synsCheckedMs = performance.now();
		const listeners = this.#checked.keptSyns.check();
		if (listeners > 0) this.#count('syns', listeners);
	}

	/** What was never lost as well: an alert needs the zero before the first time. */
	#lostOf(programs: readonly Attachment[]): Record<string, bigint> {
		const pins = this.#checked.pins === undefined ? [] : ['pins'];
		const all = [...programs.map(({ program }) => program), ...pins, 'syns'];
		return { ...Object.fromEntries(all.map((name) => [name, 0n])), ...Object.fromEntries(this.#lost) };
	}

	#count(what: string, times = 1): void {
		this.#lost.set(what, (this.#lost.get(what) ?? 0n) + BigInt(times));
	}
}

function sockopsLast(a: string, b: string): number {
	return Number(a === 'toascope_sockops') - Number(b === 'toascope_sockops');
}
