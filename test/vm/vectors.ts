// SPDX-License-Identifier: Apache-2.0
/** test/vectors/options.json as lines for C: name, profiles as the module's parameter, segment, options, verdict, family, address, port. */
import type { Profile } from '../../daemon/config/profiles.ts';
import { readVectors } from '../fixtures/vectors.ts';

const firstOwnId = 8;

/** As the parameter `profiles` of toa.ko has it. */
export function formatParameter(profile: Profile): string {
	const { id, name, kind, length, family, addressAt, portAt, onSyn } = profile;
	if (id < firstOwnId) return name;
	return `${name}:${kind}:${length}:ipv${family}:${addressAt}:${portAt ?? '-'}${onSyn ? ':syn' : ''}`;
}

export function vectorLines(): string {
	const lines = [...readVectors(), ...readVectors('syn')].map(({ name, profiles, segment = 'ack', options, expect }) =>
		[
			name,
			profiles.map(formatParameter).join(','),
			segment,
			options,
			expect.verdict,
			expect.family ?? '',
			expect.address ?? '',
			expect.port ?? '',
		].join('\t'),
	);
	return `${lines.join('\n')}\n`;
}
