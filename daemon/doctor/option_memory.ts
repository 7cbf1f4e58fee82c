// SPDX-License-Identifier: Apache-2.0
/**
 * The memory that a socket may use for options (net.core.optmem_max), which holds what toascope keeps of a connection. Since
 * Linux 6.8 each network namespace has a limit of its own.
 */
import { spawnSync } from 'node:child_process';
import { networkNamespaces } from '../capture/namespaces.ts';

/** A socket's first state takes some 400 bytes; other programs keep theirs there too. */
const scarceBytes = 2048;
/** Namespaces that are looked into. */
const namespacesMax = 256;

export interface OptionMemory {
	/** A file by which the network namespace can be entered. */
	readonly namespace: string;
	readonly bytes: number;
}

/** Those whose limit leaves no room for a connection's state, or hardly any. */
export function findScarceOptionMemory(): OptionMemory[] {
	return [...networkNamespaces().values()].slice(0, namespacesMax).flatMap((namespace) => {
		const command = [`--net=${namespace}`, 'cat', '/proc/sys/net/core/optmem_max'];
		const { status, stdout } = spawnSync('nsenter', command, { encoding: 'utf8' });
		// before 6.8 others have no such file, and the limit of the initial one holds for all
		const bytes = status === 0 ? Number(stdout) : Number.POSITIVE_INFINITY;
		return bytes < scarceBytes ? [{ namespace, bytes }] : [];
	});
}

/** What to do about them. */
export function describeScarce(scarce: readonly OptionMemory[]): string {
	const some = scarce.slice(0, 3).map(({ namespace, bytes }) => `${bytes} in ${namespace}`);
	const more = scarce.length > some.length ? ` and ${scarce.length - some.length} more` : '';
	const where = `net.core.optmem_max is ${some.join(', ')}${more}`;
	const command = `nsenter --net=${scarce[0]?.namespace} sysctl -w net.core.optmem_max=131072`;
	return `${where}: too little for what is kept of a connection; set the default there: ${command}`;
}
