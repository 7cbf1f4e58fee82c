// SPDX-License-Identifier: Apache-2.0
/**
 * Which keys of a configuration a reload puts in force, the result of the last one, and what it
 * changed.
 */
import { type Change, type Config, changes } from '../config/config.ts';
import { withoutSecrets } from '../secrets.ts';

export interface Reload {
	/** The result of the last attempt; true before the first. */
	readonly successful: boolean;
	/** When a configuration was last put in force. */
	readonly successAtMs: number;
	/** Attempts since the start. */
	readonly attempts: number;
	/** The error of the last attempt. */
	readonly error: unknown;
	/** Keys that the file had changed at the last attempt, but that need a restart. */
	readonly restartKeys: readonly string[];
}

/**
 * The configuration after a reload: the one in force, with those keys of `next` that a reload can
 * change.
 */
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
		otel: { ...old.otel, sampling: next.otel.sampling },
		log: { ...old.log, level: next.log.level },
	});
}

/** Longer values are not logged, only their key: the file has them. */
const longestValue = 60;

/**
 * The differences, for the log: `clients.max_exported: 1000 -> 500`; only the key where the values
 * are long.
 */
export function shownChanges(from: Config, to: Config): string[] {
	return changes(from, to).map(({ key, from: before, to: after }: Change) => {
		const values = `${show(before)} -> ${show(after)}`;
		return values.length > longestValue ? key : `${key}: ${values}`;
	});
}

function show(value: unknown): string {
	if (value === null) return 'not set';
	return typeof value === 'string' ? withoutSecrets(value) : JSON.stringify(value);
}
