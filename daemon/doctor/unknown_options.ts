// SPDX-License-Identifier: Apache-2.0
/** Options of trusted senders that no active profile takes: what a wrong profile looks like. Each is named. */
import { type BalancerName, balancerNames } from '../config/balancer_names.ts';
import { balancers, profilesOf } from '../config/balancers.ts';
import { builtInProfiles } from '../config/built_in_profiles.ts';
import { defaultConfig } from '../config/load.ts';
import { alternatives } from '../config/value.ts';
import { type Check, check } from './check.ts';
import { profileNames, type Values } from './configuration.ts';
import type { RecentJson, Status } from './status.ts';
import { number } from './tally.ts';

type UnknownOption = RecentJson['unknown_options'][number];

const shownMax = 5;

/** What it is, and which profile would take it, of which balancers. */
export function nameOption({ kind, length }: UnknownOption, values: Values) {
	const active = profileNames(values);
	const what = `an option of kind ${kind} and length ${length}`;
	const known = builtInProfiles.find((profile) => profile.kind === kind && profile.length === length);
	if (known !== undefined) {
		const preset = presetAdvice(known.name, values);
		return { what, like: '', advice: `if it is your balancer's, ${preset}add ${known.name} to profiles` };
	}
	const same = builtInProfiles.find((profile) => profile.kind === kind && active.includes(profile.name));
	const like = same === undefined ? '' : ` (${same.name} has length ${same.length})`;
	const advice = "if it is your balancer's, describe it as a profile of your own (docs/reference/configuration.md)";
	return { what, like, advice };
}

function presetAdvice(profile: string, values: Values): string {
	const names = balancerNames.filter((name) => profile in balancers[name].profiles);
	if (names.length === 0) return '';
	return `set balancer to ${alternatives(names)}${hasOwnProfiles(values) ? ' in place of profiles' : ''}, or `;
}

/** The file has `profiles`, beside which `balancer` chooses nothing. */
function hasOwnProfiles(values: Values): boolean {
	const chosen = (values['balancer'] ?? null) as readonly BalancerName[] | null;
	const otherwise = chosen === null ? defaultConfig().profiles : profilesOf(chosen);
	return profileNames(values).join() !== otherwise.map(({ name }) => name).join();
}

export function unknownOptionsCheck({ recent, config }: Status): Check[] {
	const options = recent?.unknown_options ?? [];
	if (options.length === 0) return [];
	const named = options.slice(0, shownMax).map((option) => {
		const { what, like, advice } = nameOption(option, config.values);
		return { found: `${what}${like} on ${number(option.connections)}`, advice: `kind ${option.kind}: ${advice}` };
	});
	const more = options.length > shownMax ? `, and ${options.length - shownMax} more kinds` : '';
	const found = `connections without TOA had ${named.map((each) => each.found).join(', ')}${more}; no active profile takes it`;
	const advice = named.map((each) => each.advice).join('; ');
	return [check('unknown_options', 'Unknown options', 'warn', found, advice)];
}
