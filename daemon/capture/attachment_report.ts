// SPDX-License-Identifier: Apache-2.0
/** The result of a check of the attachments. */
import { codeOfError } from '../errors.ts';
import type { Attachment } from './attachments.ts';

/** The result of the latest check. */
export interface AttachmentReport {
	readonly programs: readonly Attachment[];
	/**
	 * How often each attachment was found missing. The keys are the values of the label
	 * `attachment`.
	 */
	readonly lost: Readonly<Record<string, bigint>>;
	/** Why the daemon is not ready; empty: everything that should be attached is. */
	readonly missing: readonly MissingAttachment[];
}

/** A reason for not being ready, and what is wrong, for operators. */
export interface MissingAttachment {
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

/** The report if no check has succeeded: no program is known to be attached. */
function unknown(text: string, lost: AttachmentReport['lost']): AttachmentReport {
	return { programs: [], lost, missing: [{ reason: 'attachments_unknown', text }] };
}

/** The report before the first check. */
export const notYetChecked = unknown('waiting for the first check of the attachments', {});

/** The report if the check itself failed. `lost`: what was found missing before. */
export function checkFailed(error: unknown, lost: AttachmentReport['lost']): AttachmentReport {
	return unknown(`it is unknown whether the programs are attached: the check failed (${codeOfError(error)})`, lost);
}

export const nothingAttached: AttachmentReport = { programs: [], lost: {}, missing: [] };
