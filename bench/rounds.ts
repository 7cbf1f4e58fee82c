// SPDX-License-Identifier: Apache-2.0
/**
 * Runs rounds of arms, in an order that is reversed from round to round, until the control shows
 * that the machine is quiet enough.
 */
import { type Comparison, compare, isInconclusive } from './pairs.ts';
import type { Plan } from './result.ts';

/** Evaluating the control takes a while, so it happens only after every `step` rounds. */
interface Bounds {
	readonly least: number;
	readonly most: number;
	readonly step: number;
	/** The number of rounds with --quick. */
	readonly quick: number;
}

const usual: Bounds = { least: 60, most: 240, step: 10, quick: 6 };

/** Two identical arms, and how they are compared. */
export interface Control<Arm extends string, Run> {
	readonly arm: Arm;
	readonly against: Arm;
	readonly how: Comparison<Run>;
}

/**
 * Runs each arm once to warm up, then `least` rounds, and more of them, up to `most`, while the
 * control's interval extends further than 1 % from 1. The results of the other arms have no
 * influence on the number of rounds.
 */
export async function runRounds<Arm extends string, Run>(
	plan: Plan,
	name: string,
	arms: readonly Arm[],
	control: Control<Arm, Run>,
	once: (arm: Arm) => Promise<Run>,
	bounds = usual,
): Promise<{ warmUp: Record<Arm, Run[]>; runs: Record<Arm, Run[]> }> {
	const none = () => Object.fromEntries(arms.map((arm) => [arm, []])) as unknown as Record<Arm, Run[]>;
	const [warmUp, runs] = [none(), none()];
	const enough = (rounds: number) => {
		if (plan.quick) return rounds === bounds.quick;
		if (rounds < bounds.least || rounds % bounds.step !== 0) return false;
		return rounds === bounds.most || !isInconclusive(compare(runs[control.arm], runs[control.against], control.how));
	};
	for (const arm of arms) warmUp[arm].push(await once(arm));
	for (let round = 0; !enough(round); round++) {
		plan.say(`${name}: round ${round + 1}`);
		for (const arm of round % 2 === 0 ? arms : arms.toReversed()) runs[arm].push(await once(arm));
	}
	return { warmUp, runs };
}
