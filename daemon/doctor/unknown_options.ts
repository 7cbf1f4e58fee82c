// SPDX-License-Identifier: Apache-2.0
/** Options of trusted senders that match no active profile, the sign of a wrong profile. */

import type { RecentJson } from '../api/status.ts';
import type { Status } from '../client/status.ts';
import { type BalancerName, balancerNames } from '../config/balancer_names.ts';
import { balancers, profilesOf } from '../config/balancers.ts';
import { builtInProfiles } from '../config/built_in_profiles.gen.ts';
import { defaultConfig } from '../config/load.ts';
import { alternatives } from '../config/value.ts';
import { type Check, check } from './check.ts';
import { profileNames, type Values } from './configuration.ts';
import { number } from './tally.ts';

type UnknownOption = RecentJson['unknown_options'][number];

const shownMax = 5;

/** Describes the option, and advises the profile that matches it and its balancers. */
export function nameOption({ kind, length }: UnknownOption, values: Values) {
	const active = profileNames(values);
	const what = `an option of kind ${kind} and length ${length}`;
	const known = builtInProfiles.find((profile) => profile.kind === kind && profile.length === length);
	if (known !== undefined) {
		const preset = presetAdvice(known.name, values);
		return { what, like: '', advice: `if it is your balancer's, ${preset}add ${known.name} to profiles` };
	}
	const sameKind = builtInProfiles.find((profile) => profile.kind === kind && active.includes(profile.name));
	const like = sameKind === undefined ? '' : ` (${sameKind.name} has length ${sameKind.length})`;
	const advice = "if it is your balancer's, define a custom profile for it (docs/reference/configuration.md)";
	return { what, like, advice };
}

function presetAdvice(profile: string, values: Values): string {
	const names = balancerNames.filter((name) => profile in balancers[name].profiles);
	if (names.length === 0) return '';
	return `set balancer to ${alternatives(names)}${hasOwnProfiles(values) ? ' instead of profiles' : ''}, or `;
}

/** The file sets `profiles`, which makes `balancer` ineffective. */
function hasOwnProfiles(values: Values): boolean {
	const chosen = (values['balancer'] ?? null) as readonly BalancerName[] | null;
	const implied = chosen === null ? defaultConfig().profiles : profilesOf(chosen);
	return profileNames(values).join() !== implied.map(({ name }) => name).join();
}

export function unknownOptionsCheck({ recent, config }: Status): Check[] {
	const options = recent?.unknown_options ?? [];
	if (options.length === 0) return [];
	const named = options.slice(0, shownMax).map((option) => {
		const { what, like, advice } = nameOption(option, config.values);
		return { found: `${what}${like} on ${number(option.connections)}`, advice: `kind ${option.kind}: ${advice}` };
	});
	const more = options.length > shownMax ? `, and ${options.length - shownMax} more kinds` : '';
	const found = `connections without TOA had ${named.map((each) => each.found).join(', ')}${more}; no active profile matches`;
	const advice = named.map((each) => each.advice).join('; ');
	return [check('unknown_options', 'Unknown options', 'warn', found, advice)];
}
