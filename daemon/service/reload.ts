// SPDX-License-Identifier: Apache-2.0
/** Which keys of a configuration a reload puts in force, how the last one went, and what it changed. */
import { type Change, type Config, changes } from '../config/config.ts';
import { withoutPassword } from '../secrets.ts';

export interface Reload {
	/** Of the last attempt; true before the first. */
	readonly successful: boolean;
	/** When a configuration was last put in force. */
	readonly successAtMs: number;
	/** Since the start. */
	readonly attempts: number;
	/** What the last attempt failed with. */
	readonly error: unknown;
	/** Keys that the file had otherwise then, and that take a restart. */
	readonly restartKeys: readonly string[];
}

/** The configuration after a reload: what is in force, with the keys that a reload can change. */
export function reloaded(old: Config, next: Config): Config {
	return Object.freeze({
		...old,
		trust: next.trust,
		balancer: next.balancer,
		profiles: next.profiles,
		transparent: next.transparent,
		sockopt: next.sockopt,
		listeners: { ...next.listeners, max: old.listeners.max },
		clients: { ...next.clients, capacity: old.clients.capacity },
		connections: { ...old.connections, retainMs: next.connections.retainMs },
		log: { ...old.log, level: next.log.level },
	});
}

/** Longer ones are in the file: the line of the log names their key. */
const longestValue = 60;

/** What differs, for the log: `clients.max_exported: 1000 -> 500`; of long values the key alone. */
export function shownChanges(from: Config, to: Config): string[] {
	return changes(from, to).map(({ key, from: before, to: after }: Change) => {
		const values = `${show(before)} -> ${show(after)}`;
		return values.length > longestValue ? key : `${key}: ${values}`;
	});
}

function show(value: unknown): string {
	if (value === null) return 'not set';
	return typeof value === 'string' ? withoutPassword(value) : JSON.stringify(value);
}
