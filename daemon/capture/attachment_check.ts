// SPDX-License-Identifier: Apache-2.0
/**
 * Checks what is attached. Other processes can detach, remove or hide what was attached and pinned,
 * so each check asks the kernel, reports what is missing, and restores it.
 */

import { type BpfObject, native } from '../../native/binding.ts';
import { codeOfError } from '../errors.ts';
import { CgroupWatch } from '../host/cgroup_watch.ts';
import { ftraceOffReason } from '../host/tracing_switch.ts';
import { LogLimit, type LogSink } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { type AttachmentReport, checkFailed, type MissingAttachment, notYetChecked } from './attachment_report.ts';
import type { Attachment, Attachments } from './attachments.ts';
import { hiddenOrMoved, type Pins } from './pinning/pins.ts';
import type { OptionReader } from './provider.ts';
import type { SavedSyns } from './saved_syns.ts';
import type { ServedCgroup } from './served_cgroup.ts';

/** What is checked. */
export interface CheckInputs {
	readonly bpf: BpfObject;
	readonly pins: Pins | undefined;
	readonly attachments: Attachments;
	readonly cgroup: ServedCgroup;
	/** The maps that are pinned. */
	readonly maps: readonly string[];
	readonly savedSyns: SavedSyns;
	readonly reader: Pick<OptionReader, 'check'>;
	/** Called before programs are attached again to a cgroup that was created again. */
	readonly onCgroup: () => void;
}

/** The check of saved SYNs walks all descriptors of the host, so it does not run at each check. */
const synsMs = 15_000;

export class AttachmentCheck {
	readonly #inputs: CheckInputs;
	readonly #limit: LogLimit;
	readonly #lost = new Map<string, bigint>();
	#readerLost: AttachmentReport['lost'] = {};
	/** Programs that the previous check found detached; switched-off ones are not among them. */
	#detached: readonly string[] = [];
	/**
	 * Programs that the previous check found switched off. One that is now detached was lost once
	 * more.
	 */
	#off: readonly string[] = [];
	#pinsFault = '';
	/**
	 * The log has a line that the directory of pins cannot be reached, but not yet that it can
	 * again.
	 */
	#pinsFaultLogged = false;
	#report = notYetChecked;
	#reattached = false;
	/** The settings do not have the id of the current cgroup: updating them was refused. */
	#settingsRefused = false;
	#synsCheckedMs = performance.now();
	#watch: CgroupWatch | undefined;

	constructor(inputs: CheckInputs, log: LogSink) {
		this.#inputs = inputs;
		this.#limit = new LogLimit(log);
	}

	close(): void {
		this.#watch?.close();
	}

	get report(): AttachmentReport {
		return this.#report;
	}

	/**
	 * Checks everything. The report says what was found; what was restored appears in the next one.
	 * If the check throws, nothing is known, and the report says so. `onChange`: called when the
	 * cgroup is created or removed.
	 */
	run(onChange: () => void): void {
		const { path, wholeHost } = this.#inputs.cgroup;
		// created at the first check, so that a failed start leaves no watch
		if (!wholeHost) this.#watch ??= new CgroupWatch(path, onChange);
		this.#check();
		this.#checkSyns();
		// update the counts: checking the SYNs can have added some
		this.#report = { ...this.#report, lost: this.#lostOf(this.#report.programs) };
	}

	#check(): void {
		try {
			const programs = this.#inputs.attachments.state();
			const reader = this.#inputs.reader.check();
			this.#readerLost = reader.lost;
			const missing = [...this.#checkPrograms(programs), ...this.#checkPins(), ...reader.missing];
			this.#report = { programs, lost: this.#lostOf(programs), missing };
		} catch (error) {
			this.#report = checkFailed(error, this.#lostOf([]));
			throw error;
		}
	}

	/**
	 * Runs the check before a stop that keeps everything. Returns what is not kept, for operators.
	 */
	checkBeforeStop(): readonly string[] {
		const { attachments, pins, bpf, maps } = this.#inputs;
		try {
			this.#check();
			const pinnedId = (path: string) => native().pinnedId(path);
			const programs = attachments.unpinned(pinnedId).map((program) => `${program} is not attached, or not pinned`);
			const unpinned = maps.filter((map) => pins === undefined || pinnedId(pins.map(map)) !== bpf.map(map).id());
			const unreachableReason = pins?.unreachableReason;
			return [
				...programs,
				...unpinned.map((map) => `the map ${map} is not pinned`),
				...(unreachableReason === undefined ? [] : [unreachableReason]),
			];
		} catch (error) {
			return [`the check of the attachments failed (${codeOfError(error)})`];
		}
	}

	#checkPrograms(programs: readonly Attachment[]): MissingAttachment[] {
		const gone = programs.filter(({ attached }) => !attached);
		const cgroupGone = gone.some(({ hookGone }) => hookGone);
		const detached = gone.filter(({ switchedOff }) => !switchedOff);
		const names = detached.map(({ program }) => program);
		const newlyLost = names.filter((name) => !this.#detached.includes(name));
		const cgroup = this.#inputs.cgroup.path;
		// programs that were never attached are not lost
		const isAwaited = gone.some(
			({ program, id, hookGone }) => hookGone && id === undefined && newlyLost.includes(program),
		);
		if (isAwaited) this.#limit.log('awaited', logLines.cgroupAwaited, { cgroup });
		else for (const name of newlyLost) this.#count(name);
		if (newlyLost.length > 0 && !isAwaited) {
			const context = { programs: newlyLost, cgroup, cgroup_exists: !cgroupGone };
			this.#limit.log(`detached ${newlyLost.toSorted()}`, logLines.detached, context);
		}
		this.#detached = names;
		const missing = this.#switchedOff(gone.filter(({ switchedOff }) => switchedOff).map(({ program }) => program));
		if (detached.some(({ hookGone }) => !hookGone) || this.#settingsRefused) {
			this.#settingsRefused = !this.#try('settings', this.#inputs.onCgroup);
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

	/**
	 * Reports the programs that are switched off. Attaching them again would change nothing: only
	 * the administrator can switch them on.
	 */
	#switchedOff(off: readonly string[]): MissingAttachment[] {
		const newlyOff = off.filter((name) => !this.#off.includes(name));
		this.#off = off;
		if (off.length === 0) return [];
		const why = ftraceOffReason() ?? 'function tracing was switched off';
		for (const name of newlyOff) this.#count(name);
		if (newlyOff.length > 0) {
			this.#limit.log('switched off', logLines.switchedOff, { programs: off, why });
		}
		return [{ reason: 'programs_switched_off', text: `${why}: the kernel does not run ${off.join(', ')}` }];
	}

	#attachAgain(gone: readonly Attachment[]): void {
		const { attachments } = this.#inputs;
		const possible = gone.filter(({ hookGone }) => !hookGone).map(({ program }) => program);
		if (possible.length === 0) return;
		const programs: string[] = [];
		// sockops comes last: the other programs must already observe each connection that it
		// reports
		for (const program of possible.toSorted(sockopsLast)) {
			// a refused program must not keep the later ones from observing connections
			if (this.#try(program, () => attachments.reattach(program))) programs.push(program);
		}
		if (programs.length === 0) return;
		this.#reattached = true;
		// one of these that is missing at the next check is lost once more
		this.#detached = this.#detached.filter((program) => !programs.includes(program));
		const context = { programs, cgroup: this.#inputs.cgroup.path };
		this.#limit.log(`attached ${programs.toSorted()}`, logLines.reattached, context);
	}

	/** False: the step was refused, and the log says so. */
	#try(program: string, step: () => void): boolean {
		try {
			step();
			return true;
		} catch (err) {
			this.#limit.log(`refused ${program} ${codeOfError(err)}`, logLines.reattachFailed, { err, program });
			return false;
		}
	}

	/**
	 * Checks the pins: the next daemon adopts them, and they keep programs attached while no daemon
	 * runs.
	 */
	#checkPins(): MissingAttachment[] {
		const { pins, attachments, bpf, maps } = this.#inputs;
		if (pins === undefined) return [];
		let fault = '';
		try {
			if (pins.isRemoved) pins.recreate();
			const pinnedId = (path: string) => native().pinnedId(path);
			const lost = attachments.restorePins(pinnedId);
			const lostMaps = maps.filter((map) => pinnedId(pins.map(map)) !== bpf.map(map).id());
			for (const map of lostMaps) bpf.map(map).pin(pins.map(map));
			const all = [...lost, ...lostMaps];
			if (all.length > 0) {
				this.#count('pins');
				this.#limit.log('pins restored', logLines.pinsRestored, { pins: pins.displayPath, names: all });
			}
			if (!pins.isReachable) fault = hiddenOrMoved;
			else if (all.length > 0) return [{ reason: 'pins_missing', text: `pins were missing in ${pins.displayPath}` }];
		} catch (error) {
			fault = `cannot be used: ${error instanceof Error ? error.message : String(error)}`;
		}
		if (fault !== '' && fault !== this.#pinsFault) {
			this.#count('pins');
			const logged = this.#limit.log('pins hidden', logLines.pinsHidden, { pins: pins.displayPath, why: fault });
			this.#pinsFaultLogged ||= logged;
		} else if (fault === '' && this.#pinsFaultLogged) {
			this.#pinsFaultLogged = false;
			this.#limit.log('pins back', logLines.pinsReachable, { pins: pins.displayPath });
		}
		this.#pinsFault = fault;
		return fault === '' ? [] : [{ reason: 'pins_missing', text: `the directory of pins ${pins.displayPath} ${fault}` }];
	}

	/** Sets TCP_SAVE_SYN on listeners that began to listen while programs were detached. */
	#checkSyns(): void {
		if (!this.#reattached && performance.now() - this.#synsCheckedMs < synsMs) return;
		this.#reattached = false;
		this.#synsCheckedMs = performance.now();
		const listeners = this.#inputs.savedSyns.check();
		if (listeners > 0) this.#count('syns', listeners);
	}

	/** Includes what was never lost, as 0: an alert needs the zero before the first loss. */
	#lostOf(programs: readonly Attachment[]): Record<string, bigint> {
		const pins = this.#inputs.pins === undefined ? [] : ['pins'];
		const all = [...programs.map(({ program }) => program), ...pins, 'syns'];
		const zeros = Object.fromEntries(all.map((name) => [name, 0n]));
		return { ...zeros, ...this.#readerLost, ...Object.fromEntries(this.#lost) };
	}

	#count(what: string, times = 1): void {
		this.#lost.set(what, (this.#lost.get(what) ?? 0n) + BigInt(times));
	}
}

function sockopsLast(a: string, b: string): number {
	return Number(a === 'toascope_sockops') - Number(b === 'toascope_sockops');
}
