// SPDX-License-Identifier: Apache-2.0
/** Whether the configured sizes fit this host: what the maps take, and what is there for them. */
import type { Features } from '../capture/native.ts';
import { possibleCpus } from '../capture/possible_cpus.ts';
import { missingCapabilities } from '../capture/privileges.ts';
import { lockedLimit } from '../capture/refusal.ts';
import { kernelMemory, type Sizes, sizeKeys } from '../capture/sizes.ts';
import { aboutSize, parseSize } from '../config/size.ts';
import { type Check, check } from './check.ts';
import type { Values } from './configuration.ts';

/** In bytes, as of now. */
export interface Memory {
	/** Free for this process: of the host, or of the memory limit that it is within. */
	readonly available: number;
	/** RLIMIT_MEMLOCK, which maps count against before Linux 5.11; undefined: no limit. */
	readonly locked: number | undefined;
	/** Possible CPUs. */
	readonly cpus: number;
	/** Text of /proc/self/status. */
	readonly status: string;
}

export function readMemory(status: string): Memory {
	return { available: process.availableMemory(), locked: lockedLimit(), cpus: possibleCpus(), status };
}

function sizesIn(values: Values): Sizes {
	const of = (key: (typeof sizeKeys)[number]) => Number(values[key]);
	return {
		clients: { capacity: of('clients.capacity') },
		connections: { max: of('connections.max') },
		listeners: { max: of('listeners.max') },
		bpf: { ringBytes: parseSize(values['bpf.ring_bytes'] as string) },
	};
}

type Deciding = Pick<Features, 'memoryAccounting'>;

/** `running`: a daemon has them. `features`: undefined where they could not be tried. */
export function memoryCheck(memory: Memory, values: Values, running: boolean, features?: Deciding): Check {
	const { memoryAccounting } = features ?? { memoryAccounting: '' };
	const taken = kernelMemory(sizesIn(values), memory.cpus);
	const keys = sizeKeys.toSorted((a, b) => taken[b] - taken[a]);
	const all = keys.reduce((sum, key) => sum + taken[key], 0);
	const parts = keys.map((key) => `${key} (${values[key]}): ${aboutSize(taken[key])}`).join(', ');
	const found = `the maps take up to ${aboutSize(all)} of kernel memory; ${parts}`;
	const name = 'memory';
	const title = 'Memory for the maps';
	if (running) return check(name, title, 'ok', found);
	const { available, locked } = memory;
	const lower = `lower ${keys[0]}`;
	if (all > available) {
		const advice = `${lower}, or raise the memory limit of the container or service, where it has one`;
		return check(name, title, 'warn', `${found}; ${aboutSize(available)} is available`, advice);
	}
	const raised = missingCapabilities(memory.status, ['CAP_SYS_RESOURCE']).length === 0;
	if (memoryAccounting !== '' && !raised && locked !== undefined && all > locked) {
		const advice = `${lower}; or ulimit -l unlimited, LimitMEMLOCK=infinity or CAP_SYS_RESOURCE for the service`;
		return check(name, title, 'warn', `${found}; ${aboutSize(locked)} may be locked`, advice);
	}
	return check(name, title, 'ok', `${found}; ${aboutSize(available)} is available`);
}
