// SPDX-License-Identifier: Apache-2.0
/** Rounds of arms, in turns forwards and backwards, until the control tells that the machine is still enough. */
import { type Comparison, compare, spreads } from './pairs.ts';
import type { Plan } from './result.ts';

/** A look at the control takes a while itself: it comes after each `step` rounds. */
interface Bounds {
	readonly least: number;
	readonly most: number;
	readonly step: number;
	/** With --quick, as many and no more. */
	readonly quick: number;
}

const usual: Bounds = { least: 60, most: 240, step: 10, quick: 6 };

/** Arms that differ in nothing, and what they are compared in. */
export interface Control<Arm extends string, Run> {
	readonly arm: Arm;
	readonly against: Arm;
	readonly how: Comparison<Run>;
}

/**
 * One run of each arm to warm up, then `least` rounds, and more of them, up to `most`, while the control's interval
 * leaves 1 by over 1 %. What the other arms show has no say in it.
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
		return rounds === bounds.most || !spreads(compare(runs[control.arm], runs[control.against], control.how));
	};
	for (const arm of arms) warmUp[arm].push(await once(arm));
	for (let round = 0; !enough(round); round++) {
		plan.say(`${name}: round ${round + 1}`);
		for (const arm of round % 2 === 0 ? arms : arms.toReversed()) runs[arm].push(await once(arm));
	}
	return { warmUp, runs };
}
