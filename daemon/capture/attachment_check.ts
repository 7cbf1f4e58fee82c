// SPDX-License-Identifier: Apache-2.0
/**
 * Attached means asked: what was attached and pinned may be detached, removed or hidden by others. Each check asks the
 * kernel, reports what it finds gone, and puts it back.
 */
import { codeOfError } from '../errors.ts';
import { LogLimit, type LogSink, logLines } from '../log_lines.ts';
import type { Attachment, Attachments } from './attachments.ts';
import { CgroupWatch } from './cgroup_watch.ts';
import type { KeptSyns } from './kept_syns.ts';
import { type BpfObject, native } from './native.ts';
import type { Pins } from './pins.ts';
import type { OptionReader } from './provider.ts';
import type { ServedCgroup } from './served_cgroup.ts';
import { functionsOff } from './tracing_switch.ts';

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

export const missingReasons = [
	'cgroup_missing',
	'programs_detached',
	'programs_switched_off',
	'pins_missing',
	'module_missing',
	'module_parameters',
	'module_switched_off',
	'attachments_unknown',
] as const;

/** What no check has found out: no program is known to be attached. */
function unknown(text: string, lost: AttachmentReport['lost']): AttachmentReport {
	return { programs: [], lost, missing: [{ reason: 'attachments_unknown', text }] };
}

/** The report before the first check. */
export const notYetChecked = unknown('the first check of the attachments is awaited', {});

/** The report where the check itself failed. `lost`: what was found gone before. */
export function checkFailed(error: unknown, lost: AttachmentReport['lost']): AttachmentReport {
	return unknown(`whether the programs are attached is not known: the check failed (${codeOfError(error)})`, lost);
}

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
	readonly reader: Pick<OptionReader, 'check'>;
	/** Called before programs are attached again to a cgroup that was made anew. */
	readonly onCgroup: () => void;
}

/** All descriptors of the host are walked for it: not at each check. */
const synsMs = 15_000;

export class AttachmentCheck {
	readonly #checked: Checked;
	readonly #limit: LogLimit;
	readonly #lost = new Map<string, bigint>();
	#readerLost: AttachmentReport['lost'] = {};
	/** Programs that the check before found detached; those that were switched off are not among them. */
	#detached: readonly string[] = [];
	/** Programs that the check before found switched off: one of these that is detached since was lost once more. */
	#off: readonly string[] = [];
	#pinsFault = '';
	/** The log said that the directory of pins cannot be reached, and not yet that it can. */
	#pinsFaultTold = false;
	#report = notYetChecked;
	#attachedAgain = false;
	/** The programs do not go by the cgroup that is there now. */
	#settingsRefused = false;
	#synsCheckedMs = performance.now();
	#watch: CgroupWatch | undefined;

	constructor(checked: Checked, log: LogSink) {
		this.#checked = checked;
		this.#limit = new LogLimit(log);
	}

	close(): void {
		this.#watch?.close();
	}

	get report(): AttachmentReport {
		return this.#report;
	}

	/**
	 * The report is what was found; what was put back since is in the next one. Where it throws, nothing is known, and the
	 * report says so. `onChange`: called when the cgroup is made or removed.
	 */
	run(onChange: () => void): void {
		const { path, wholeHost } = this.#checked.cgroup;
		// not before the first: a start that failed leaves no watch
		if (!wholeHost) this.#watch ??= new CgroupWatch(path, onChange);
		this.#check();
		this.#checkSyns();
		// the listeners that were told just now are counted
		this.#report = { ...this.#report, lost: this.#lostOf(this.#report.programs) };
	}

	#check(): void {
		try {
			const programs = this.#checked.attachments.state();
			const reader = this.#checked.reader.check();
			this.#readerLost = reader.lost;
			const missing = [...this.#checkPrograms(programs), ...this.#checkPins(), ...reader.missing];
			this.#report = { programs, lost: this.#lostOf(programs), missing };
		} catch (error) {
			this.#report = checkFailed(error, this.#lostOf([]));
			throw error;
		}
	}

	/** The check before a stop that keeps all. Returns what is not kept, for operators. */
	last(): readonly string[] {
		const { attachments, pins, bpf, maps } = this.#checked;
		try {
			this.#check();
			const pinnedId = (path: string) => native().pinnedId(path);
			const programs = attachments.unkept(pinnedId).map((program) => `${program} is not attached, or not pinned`);
			const unpinned = maps.filter((map) => pins === undefined || pinnedId(pins.map(map)) !== bpf.mapId(map));
			const unreachable = pins?.unreachable;
			return [
				...programs,
				...unpinned.map((map) => `the map ${map} is not pinned`),
				...(unreachable === undefined ? [] : [unreachable]),
			];
		} catch (error) {
			return [`the check of the attachments failed (${codeOfError(error)})`];
		}
	}

	#checkPrograms(programs: readonly Attachment[]): Missing[] {
		const gone = programs.filter(({ attached }) => !attached);
		const cgroupGone = gone.some(({ hookGone }) => hookGone);
		const detached = gone.filter(({ switchedOff }) => !switchedOff);
		const names = detached.map(({ program }) => program);
		const fresh = names.filter((name) => !this.#detached.includes(name));
		const cgroup = this.#checked.cgroup.path;
		// what was never attached was not lost
		const awaited = gone.some(({ program, id, hookGone }) => hookGone && id === undefined && fresh.includes(program));
		if (awaited) this.#limit.tell('awaited', logLines.cgroupAwaited, { cgroup });
		else for (const name of fresh) this.#count(name);
		if (fresh.length > 0 && !awaited) {
			const context = { programs: fresh, cgroup, cgroup_exists: !cgroupGone };
			this.#limit.tell(`detached ${fresh.toSorted()}`, logLines.detached, context);
		}
		this.#detached = names;
		const missing = this.#switchedOff(gone.filter(({ switchedOff }) => switchedOff).map(({ program }) => program));
		if (detached.some(({ hookGone }) => !hookGone) || this.#settingsRefused) {
			this.#settingsRefused = !this.#tried('settings', this.#checked.onCgroup);
		}
		if (detached.length === 0) return missing;
		if (cgroupGone) this.#watch?.renew();
		this.#attachAgain(detached);
		const detachedNames = detached.map(({ program }) => program).join(', ');
		missing.unshift(
			cgroupGone
				? { reason: 'cgroup_missing', text: `the cgroup ${cgroup} does not exist` }
				: { reason: 'programs_detached', text: `programs were found detached: ${detachedNames}` },
		);
		return missing;
	}

	/** Attaching them again would change nothing: the switch is the administrator's. */
	#switchedOff(off: readonly string[]): Missing[] {
		const fresh = off.filter((name) => !this.#off.includes(name));
		this.#off = off;
		if (off.length === 0) return [];
		const why = functionsOff() ?? 'the tracing of functions was switched off';
		for (const name of fresh) this.#count(name);
		if (fresh.length > 0) {
			this.#limit.tell('switched off', logLines.switchedOff, { programs: off, why });
		}
		return [{ reason: 'programs_switched_off', text: `${why}: the kernel does not run ${off.join(', ')}` }];
	}

	#attachAgain(gone: readonly Attachment[]): void {
		const { attachments } = this.#checked;
		const possible = gone.filter(({ hookGone }) => !hookGone).map(({ program }) => program);
		if (possible.length === 0) return;
		const programs: string[] = [];
		// what counts comes last: the others are to know each connection that it announces
		for (const program of possible.toSorted(sockopsLast)) {
			// one that is refused must not keep those behind it from seeing connections
			if (this.#tried(program, () => attachments.again(program))) programs.push(program);
		}
		if (programs.length === 0) return;
		this.#attachedAgain = true;
		// one of these that is gone at the next check is gone once more
		this.#detached = this.#detached.filter((program) => !programs.includes(program));
		const context = { programs, cgroup: this.#checked.cgroup.path };
		this.#limit.tell(`attached ${programs.toSorted()}`, logLines.attachedAgain, context);
	}

	/** False: it was refused, and the log says so. */
	#tried(program: string, step: () => void): boolean {
		try {
			step();
			return true;
		} catch (err) {
			this.#limit.tell(`refused ${program} ${codeOfError(err)}`, logLines.notAttachedAgain, { err, program });
			return false;
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
				this.#limit.tell('pins restored', logLines.pinsRestored, { pins: pins.shown, names: all });
			}
			if (!pins.inPlace) fault = 'is hidden by another mount, or was moved';
			else if (all.length > 0) return [{ reason: 'pins_missing', text: `pins were missing in ${pins.shown}` }];
		} catch (error) {
			fault = `cannot be used: ${error instanceof Error ? error.message : String(error)}`;
		}
		if (fault !== '' && fault !== this.#pinsFault) {
			this.#count('pins');
			const told = this.#limit.tell('pins hidden', logLines.pinsHidden, { pins: pins.shown, why: fault });
			this.#pinsFaultTold ||= told;
		} else if (fault === '' && this.#pinsFaultTold) {
			this.#pinsFaultTold = false;
			this.#limit.tell('pins back', logLines.pinsBack, { pins: pins.shown });
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
		const never = Object.fromEntries(all.map((name) => [name, 0n]));
		return { ...never, ...this.#readerLost, ...Object.fromEntries(this.#lost) };
	}

	#count(what: string, times = 1): void {
		this.#lost.set(what, (this.#lost.get(what) ?? 0n) + BigInt(times));
	}
}

function sockopsLast(a: string, b: string): number {
	return Number(a === 'toascope_sockops') - Number(b === 'toascope_sockops');
}
