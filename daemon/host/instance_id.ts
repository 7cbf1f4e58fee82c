// SPDX-License-Identifier: Apache-2.0
/** The identity of this daemon among all others: the same after a restart. */
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { readText } from './files.ts';

/** A random UUID (RFC 9562, version 4): the namespace of our names. */
const namespace = 'b3d0b5d2-53a6-4a4f-8d0c-3d2b3f6a1c57';

/**
 * `service.instance.id`: a UUID (RFC 9562, version 5) of the machine and of what distinguishes this
 * daemon on it: its systemd unit, otherwise where it pins its maps, or the cgroup that it serves.
 */
export function instanceId(otherwise: string): string {
	const id = readText('/etc/machine-id') ?? '';
	// an image whose machines have not got their ids yet has another text there
	const machine = /^[0-9a-f]{32}$/.test(id) ? id : hostname();
	return uuid5(`${machine} ${systemdUnit() ?? otherwise}`);
}

/** The unit whose cgroup this process is in; undefined: it was not started by systemd. */
function systemdUnit(cgroups = readText('/proc/self/cgroup') ?? ''): string | undefined {
	return /\/([^/\n]+\.service)$/m.exec(cgroups)?.[1];
}

function uuid5(name: string): string {
	const hash = createHash('sha1')
		.update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
		.update(name)
		.digest();
	hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x50, 6);
	hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
	return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
