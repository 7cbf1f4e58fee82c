// SPDX-License-Identifier: Apache-2.0
/** Values that the configuration writes as text: the parts that every such type shares. */
import { z } from 'zod';

/** Says why a value cannot stand: a clause such as `must be a whole number`. */
export class BadValue extends Error {
	override readonly name = 'BadValue';
}

/** A schema that reads further with `parse`; a BadValue of it becomes an issue. */
export function reading<S extends z.ZodType, T>(schema: S, parse: (value: z.output<S>) => T) {
	return schema.transform((value, context): T => {
		try {
			return parse(value);
		} catch (error) {
			if (!(error instanceof BadValue)) throw error;
			context.addIssue({ code: 'custom', message: error.message });
			return z.NEVER;
		}
	});
}

/** A whole number within bounds, both included. */
export function integer(min: number, max: number) {
	const error = `must be a whole number from ${min} to ${max}`;
	return z.int({ error }).min(min, { error }).max(max, { error });
}

/** One of some words. */
export function word<const W extends readonly [string, ...string[]]>(...words: W) {
	return z.enum(words, { error: `must be ${alternatives(words)}` });
}

/** In YAML 1.2 `on` is a string, in 1.1 and what is made of it by templates a boolean: both are read. */
export const onOff = z
	.literal(['on', 'off', true, false], { error: 'must be on or off' })
	.transform((value) => value === 'on' || value === true);

/** `a, b or c` */
export function alternatives(words: readonly string[]): string {
	return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
