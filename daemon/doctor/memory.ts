// SPDX-License-Identifier: Apache-2.0
/** Whether the configured sizes fit this host: the memory that maps use, and what is available. */
import type { Features } from '../../native/binding.ts';
import { lockedLimit } from '../capture/bpf_errors.ts';
import { kernelMemory, type Sizes, sizeKeys } from '../capture/maps/sizes.ts';
import { aboutSize, parseSize } from '../config/size.ts';
import { possibleCpus } from '../host/possible_cpus.ts';
import { missingCapabilities } from '../host/privileges.ts';
import { type Check, check } from './check.ts';
import type { Values } from './configuration.ts';

/** In bytes, as of now. */
export interface Memory {
	/** Free for this process: on the host, or within its memory limit. */
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
	const size = (key: (typeof sizeKeys)[number]) => Number(values[key]);
	return {
		clients: { capacity: size('clients.capacity') },
		connections: { max: size('connections.max') },
		listeners: { max: size('listeners.max') },
		bpf: { ringBytes: parseSize(values['bpf.ring_bytes'] as string) },
	};
}

type AccountingFeature = Pick<Features, 'memoryAccounting'>;

/** `running`: a daemon has allocated the maps already. `features` undefined: not probed. */
export function memoryCheck(memory: Memory, values: Values, running: boolean, features?: AccountingFeature): Check {
	const { memoryAccounting } = features ?? { memoryAccounting: '' };
	const bytes = kernelMemory(sizesIn(values), memory.cpus);
	const keys = sizeKeys.toSorted((a, b) => bytes[b] - bytes[a]);
	const all = keys.reduce((sum, key) => sum + bytes[key], 0);
	const parts = keys.map((key) => `${key} (${values[key]}): ${aboutSize(bytes[key])}`).join(', ');
	const found = `the maps use up to ${aboutSize(all)} of kernel memory; ${parts}`;
	const name = 'memory';
	const title = 'Memory for the maps';
	if (running) return check(name, title, 'ok', found);
	const { available, locked } = memory;
	const lower = `lower ${keys[0]}`;
	if (all > available) {
		const advice = `${lower}, or raise the memory limit of the container or service, where it has one`;
		return check(name, title, 'warn', `${found}; ${aboutSize(available)} is available`, advice);
	}
	const isExempt = missingCapabilities(memory.status, ['CAP_SYS_RESOURCE']).length === 0;
	if (memoryAccounting !== '' && !isExempt && locked !== undefined && all > locked) {
		const advice = `${lower}; or ulimit -l unlimited, LimitMEMLOCK=infinity or CAP_SYS_RESOURCE for the service`;
		return check(name, title, 'warn', `${found}; the limit on locked memory is ${aboutSize(locked)}`, advice);
	}
	return check(name, title, 'ok', `${found}; ${aboutSize(available)} is available`);
}
