// SPDX-License-Identifier: Apache-2.0
/** diagnose(): why clientOf() returns undefined. */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { type Client, clientOf, lookupDescriptor } from './client.ts';
import { type ConnectionSource, handleOf, socketOf } from './descriptor.ts';
import { native } from './native.ts';

const messages = {
	CLIENT: 'the connection has a client',
	READY: 'the addon is loaded',
	NO_ADDON: 'the addon cannot be loaded',
	NO_DESCRIPTOR:
		'this is not an open connection: it is closed, or not a socket of node:net, node:tls, node:http or node:http2',
	NO_TOASCOPE:
		'the kernel does not know the option: on this host or in this cgroup toascope is not attached, or it does not serve this port (listeners.ports, sockopt), or this is not a TCP connection. On Linux 5.10, also: the connection has no client',
	NO_CLIENT: 'toascope knows of no client: the connection has no TOA option from a trusted sender, or none yet',
	SYSTEM_ERROR: 'getsockopt() failed',
} as const;

export interface Diagnosis {
	/** A stable code. */
	readonly code: keyof typeof messages;
	/** What it means, for people. */
	readonly message: string;
	/** The client, with the code CLIENT. */
	readonly client?: Client;
}

const { ENOPROTOOPT, EOPNOTSUPP, EINVAL, ESRCH } = constants.errno;

function codeOf(errno: number): keyof typeof messages {
	if (errno === ENOPROTOOPT || errno === EOPNOTSUPP) return 'NO_TOASCOPE';
	return errno === EINVAL || errno === ESRCH ? 'NO_CLIENT' : 'SYSTEM_ERROR';
}

function diagnosis(code: keyof typeof messages, detail?: string): Diagnosis {
	return { code, message: detail === undefined ? messages[code] : `${messages[code]}: ${detail}` };
}

function descriptorOf(source: ConnectionSource): number {
	try {
		const socket = socketOf(source);
		return (socket && handleOf(socket)?.fd) ?? -1;
	} catch {
		return -1;
	}
}

/**
 * Says why clientOf() returns undefined for a connection; without one, whether the addon is loaded.
 * It never throws.
 *
 * @example
 * node -p 'require("@toascope/node").diagnose().message'
 */
export function diagnose(source?: ConnectionSource): Diagnosis {
	if (native.addon === undefined) return diagnosis('NO_ADDON', native.error);
	if (source === undefined) return diagnosis('READY');
	const client = clientOf(source);
	if (client !== undefined) return { ...diagnosis('CLIENT'), client };
	const fd = descriptorOf(source);
	if (fd < 0) return diagnosis('NO_DESCRIPTOR');
	const result = lookupDescriptor(fd);
	if (typeof result !== 'number') return { ...diagnosis('CLIENT'), client: result };
	return diagnosis(codeOf(result), getSystemErrorName(-result));
}
