// SPDX-License-Identifier: Apache-2.0
/** TOA options as a balancer writes them, in hex. */
import ipaddr from 'ipaddr.js';
import { builtInProfiles } from '../../../daemon/config/built_in_profiles.gen.ts';

export type ProfileName = 'nat64' | 'toa6' | 'toa4' | 'akamai4' | 'tencent' | 'cdn4' | 'cdn6';

/** The byte after the length in the profiles without a port. */
const cdnVersion = 1;

/** Encodes the option of a profile for this client. A profile without a port ignores the port. */
export function toaOption(name: ProfileName, address: string, port = 5555): string {
	const profile = builtInProfiles.find((one) => one.name === name);
	if (profile?.addressAt === undefined) throw new RangeError(`no profile ${name}`);
	const bytes = Buffer.alloc(profile.length);
	bytes[0] = profile.kind;
	bytes[1] = profile.length;
	bytes.set(ipaddr.parse(address).toByteArray(), profile.addressAt);
	if (profile.portAt === undefined) bytes[2] = cdnVersion;
	else bytes.writeUInt16BE(port, profile.portAt);
	return bytes.toString('hex');
}
