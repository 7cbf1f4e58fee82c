// SPDX-License-Identifier: Apache-2.0
/** Rounds of arms, in turns forwards and backwards, until the control tells that the machine is still enough. */
import { type Comparison, compare, spreads } from './pairs.ts';
import type { Plan } from './result.ts';

const least = 60;
const most = 240;
/** A look at the control takes a while itself. */
const lookEvery = 10;
const quickRounds = 6;

/** Arms that differ in nothing, and what they are compared in. */
export interface Control<Arm extends string, Run> {
	readonly arm: Arm;
	readonly against: Arm;
	readonly how: Comparison<Run>;
}

/**
 * One run of each arm to warm up, which is thrown away, then 60 rounds, and more of them, up to 240, while the control's interval
 * leaves 1 by over 1 %. What the other arms show has no say in it.
 */
export async function runRounds<Arm extends string, Run>(
	plan: Plan,
	name: string,
	arms: readonly Arm[],
	control: Control<Arm, Run>,
	once: (arm: Arm) => Promise<Run>,
): Promise<{ warmUp: Record<Arm, Run[]>; runs: Record<Arm, Run[]> }> {
	const none = () => Object.fromEntries(arms.map((arm) => [arm, []])) as unknown as Record<Arm, Run[]>;
	const [warmUp, runs] = [none(), none()];
	const enough = (rounds: number) => {
		if (plan.quick) return rounds === quickRounds;
		if (rounds < least || rounds % lookEvery !== 0) return false;
		return rounds === most || !spreads(compare(runs[control.arm], runs[control.against], control.how));
	};
	for (const arm of arms) warmUp[arm].push(await once(arm));
	for (let round = 0; !enough(round); round++) {
		plan.say(`${name}: round ${round + 1}`);
		for (const arm of round % 2 === 0 ? arms : arms.toReversed()) runs[arm].push(await once(arm));
	}
	return { warmUp, runs };
}
