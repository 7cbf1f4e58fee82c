// SPDX-License-Identifier: Apache-2.0
/** What the types of configuration values have in common. */
import { z } from 'zod';

/** Says why a value is not allowed, in a clause such as `must be a whole number`. */
export class BadValue extends Error {
	override readonly name = 'BadValue';
}

/** A schema that passes its output to `parse`; a BadValue that `parse` throws becomes an issue. */
export function parsing<S extends z.ZodType, T>(schema: S, parse: (value: z.output<S>) => T) {
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

/** A whole number from `min` to `max`, both included. */
export function integer(min: number, max: number) {
	const error = `must be a whole number from ${min} to ${max}`;
	return z.int({ error }).min(min, { error }).max(max, { error });
}

/** One of these words. */
export function word<const W extends readonly [string, ...string[]]>(...words: W) {
	return z.enum(words, { error: `must be ${alternatives(words)}` });
}

/**
 * `on` is a string in YAML 1.2, and a boolean in YAML 1.1 and in what templates make of it: both
 * are accepted.
 */
export const onOff = z
	.literal(['on', 'off', true, false], { error: 'must be on or off' })
	.transform((value) => value === 'on' || value === true);

/** What the schema accepts, or `off`, which gives undefined. */
export function orOff<S extends z.ZodType>(schema: S) {
	const allowed = z.safeParse(schema, Symbol('nothing that a file can hold')).error?.issues[0]?.message;
	const error = allowed?.replace(/^must be /, 'must be off, or ');
	return z.union([z.literal(['off', false]).transform(() => undefined), schema], { error });
}

/** `a, b or c` */
export function alternatives(words: readonly string[]): string {
	return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
