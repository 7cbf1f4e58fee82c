// SPDX-License-Identifier: Apache-2.0
/** Which keys of a configuration a reload puts in force. */
import type { Config } from '../config/config.ts';

/** The configuration after a reload: what is in force, with the keys that a reload can change. */
export function reloaded(old: Config, next: Config): Config {
	return Object.freeze({
		...old,
		trust: next.trust,
		profiles: next.profiles,
		transparent: next.transparent,
		sockopt: next.sockopt,
		listeners: { ...next.listeners, max: old.listeners.max },
		clients: { ...old.clients, maxExported: next.clients.maxExported, idleMs: next.clients.idleMs },
		connections: { ...old.connections, retainMs: next.connections.retainMs },
		log: { ...old.log, level: next.log.level },
	});
}
