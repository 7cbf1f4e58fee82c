// SPDX-License-Identifier: Apache-2.0
/**
 * test/vectors/options.json as lines for C: name, profiles as the module's parameter, segment,
 * options, verdict, family, address, port.
 */
import { formatProfiles } from '../../daemon/module/parameters.ts';
import { readVectors } from '../kit/model/vectors.ts';

export function vectorLines(): string {
	const lines = [...readVectors(), ...readVectors('syn')].map(({ name, profiles, segment = 'ack', options, expect }) =>
		[
			name,
			formatProfiles(profiles),
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
