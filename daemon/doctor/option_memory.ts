// SPDX-License-Identifier: Apache-2.0
/**
 * The memory that a socket can use for options (net.core.optmem_max), which holds the state of a
 * connection in socket storage. Since Linux 6.8 each network namespace has a limit of its own.
 */
import { spawnSync } from 'node:child_process';
import { networkNamespaces } from '../host/namespaces.ts';

/** The first state of a socket needs some 400 bytes; storage of other programs counts as well. */
const scarceBytes = 2048;
/** Namespaces that are examined. */
const namespacesMax = 256;

export interface OptionMemory {
	/** A file through which the network namespace can be entered. */
	readonly namespace: string;
	readonly bytes: number;
}

/** Namespaces whose limit leaves little or no room for the state of a connection. */
export function findScarceOptionMemory(): OptionMemory[] {
	return [...networkNamespaces().values()].slice(0, namespacesMax).flatMap((namespace) => {
		const command = [`--net=${namespace}`, 'cat', '/proc/sys/net/core/optmem_max'];
		const { status, stdout } = spawnSync('nsenter', command, { encoding: 'utf8' });
		// before 6.8 only the initial namespace has this file, and its limit applies to all
		const bytes = status === 0 ? Number(stdout) : Number.POSITIVE_INFINITY;
		return bytes < scarceBytes ? [{ namespace, bytes }] : [];
	});
}

/** Which namespaces these are, and the command that helps. */
export function scarceOptionMemoryAdvice(scarce: readonly OptionMemory[]): string {
	const some = scarce.slice(0, 3).map(({ namespace, bytes }) => `${bytes} in ${namespace}`);
	const more = scarce.length > some.length ? ` and ${scarce.length - some.length} more` : '';
	const where = `net.core.optmem_max is ${some.join(', ')}${more}`;
	const command = `nsenter --net=${scarce[0]?.namespace} sysctl -w net.core.optmem_max=131072`;
	return `${where}: too little for the state of a connection; restore the default there: ${command}`;
}
