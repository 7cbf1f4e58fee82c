// SPDX-License-Identifier: Apache-2.0
/** The signals that stop the demo. */

export interface Stop {
	readonly promise: Promise<undefined>;
	readonly stopped: boolean;
	/** Stops like a signal. */
	now(): void;
	dispose(): void;
}

export function stopSignal(): Stop {
	const { promise, resolve } = Promise.withResolvers<undefined>();
	let stopped = false;
	const now = () => {
		stopped = true;
		resolve(undefined);
	};
	const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
	for (const name of names) process.on(name, now);
	return {
		promise,
		get stopped() {
			return stopped;
		},
		now,
		dispose() {
			for (const name of names) process.off(name, now);
		},
	};
}
