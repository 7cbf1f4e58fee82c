// SPDX-License-Identifier: Apache-2.0
/**
 * What is wrong with a configuration: each problem with its position, the value, and the allowed
 * values.
 */
import { z } from 'zod';
import { ToascopeError } from '../errors.ts';
import { nearest } from './nearest.ts';
import { fileSchema, keys, mapIn } from './schema.ts';

export interface Problem {
	/** `FILE:LINE:COLUMN`, or the name of an environment variable. */
	readonly at: string;
	/** `clients.max_exported`; undefined where the text as a whole is wrong. */
	readonly key: string | undefined;
	/** What is wrong, in a clause that names the key. */
	readonly message: string;
}

/** A configuration that cannot be used; `message` has a line for each problem. */
export class ConfigError extends ToascopeError {
	readonly problems: readonly Problem[];

	constructor(problems: readonly Problem[]) {
		super('CONFIG_INVALID', problems.map(formatProblem).join('\n'));
		this.problems = problems;
	}
}

/** `FILE:3:17: clients.max_exported must be a whole number from 0 to 100000 (found: "many")` */
export function formatProblem({ at, message }: Problem): string {
	return `${at}: ${message}`;
}

/** Settings as they are parsed from YAML. */
export type Tree = Record<string, unknown>;
type Path = readonly PropertyKey[];

/** A problem with its path in the tree, but without its position in a file. */
export interface TreeProblem {
	readonly path: Path;
	/** The name at the end of the path is wrong, not its value. */
	readonly unknown: boolean;
	readonly message: string;
}

// only a file that is not a configuration at all has more
const maxProblems = 100;

/** The problems of a tree of settings, the first 100; empty when the tree is valid. */
export function problemsOf(tree: unknown): TreeProblem[] {
	const result = fileSchema.safeParse(tree);
	if (result.success) return [];
	const problems = leaves(result.error.issues).flatMap((issue): TreeProblem[] => {
		if (issue.code === 'unrecognized_keys') return issue.keys.map((name) => unknownKey(issue.path, name));
		return [{ path: issue.path, unknown: false, message: describeIssue(issue, valueAt(tree, issue.path)) }];
	});
	return problems.slice(0, maxProblems);
}

function describeIssue(issue: z.core.$ZodIssue, value: unknown): string {
	const subject = issue.path.length === 0 ? 'the file' : formatPath(issue.path);
	if (value === undefined) return `${subject} is missing: it ${issue.message}`;
	const isAboutContent = issue.code === 'custom' || issue.code === 'too_big';
	const found = isAboutContent && typeof value === 'object' ? '' : ` (found: ${show(value)})`;
	return `${subject} ${issue.message}${found}`;
}

/** `profiles[3].port_at` */
export function formatPath(path: Path): string {
	return path
		.map((part, at) => (typeof part === 'number' ? `[${part}]` : `${at > 0 ? '.' : ''}${String(part)}`))
		.join('');
}

/**
 * Replaces the issue of a union by those of the form that was most likely meant: the one whose
 * issues are inside the value, not about the value as a whole.
 */
function leaves(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
	return issues.flatMap((issue) => {
		if (issue.code !== 'invalid_union') return [issue];
		const inside = issue.errors.filter((branch) => branch.length > 0 && branch.every(isInside));
		// the form with the fewest issues; the first of several such forms
		const [meant] = inside.toSorted((a, b) => weight(a) - weight(b));
		if (meant === undefined) return [issue];
		return leaves(meant).map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
	});
}

/** The number of things that are wrong. */
function weight(issues: readonly z.core.$ZodIssue[]): number {
	return issues.reduce((sum, issue) => sum + (issue.code === 'unrecognized_keys' ? issue.keys.length : 1), 0);
}

function isInside(issue: z.core.$ZodIssue): boolean {
	return issue.path.length > 0 || issue.code === 'unrecognized_keys' || issue.code === 'custom';
}

function unknownKey(above: Path, name: string): TreeProblem {
	const known = Object.keys(shapeAt(above));
	if (above.length === 0 && keys.some(({ path }) => path === name)) {
		const nested = `${name}: …`.split('.').reduceRight((inner, part) => `${part}: {${inner}}`);
		return { path: [name], unknown: true, message: `unknown key "${name}"; write it as ${nested}` };
	}
	const near = nearest(name, known);
	const meant =
		near === undefined ? keys.find(({ path }) => path.endsWith(`.${name}`))?.path : formatPath([...above, near]);
	const advice = meant === undefined ? `known keys: ${known.join(', ')}` : `did you mean "${meant}"?`;
	const path = [...above, name];
	return { path, unknown: true, message: `unknown key "${formatPath(path)}"; ${advice}` };
}

function shapeAt(path: Path): z.ZodRawShape {
	let schema: z.ZodType | undefined = fileSchema;
	for (const part of path) {
		schema =
			typeof part === 'number' ? elementOf(schema) : (mapIn(schema)?.shape[String(part)] as z.ZodType | undefined);
		if (schema === undefined) return {};
	}
	return mapIn(schema)?.shape ?? {};
}

/** The schema of the entries of a list. */
function elementOf(schema: z.ZodType): z.ZodType | undefined {
	if (schema instanceof z.ZodArray) return schema.element as z.ZodType;
	if (schema instanceof z.ZodPrefault) return elementOf(schema.def.innerType as z.ZodType);
	return schema instanceof z.ZodPipe ? elementOf(schema.def.in as z.ZodType) : undefined;
}

function valueAt(tree: unknown, path: Path): unknown {
	let value = tree;
	for (const part of path) {
		if (typeof value !== 'object' || value === null) return undefined;
		value = (value as Record<PropertyKey, unknown>)[part];
	}
	return value;
}

/** A value as a message shows it, cut to 64 characters. */
function show(value: unknown): string {
	if (value === null || value === '') return 'an empty value';
	if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
	if (typeof value === 'object') return 'a map';
	const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
	return text.length > 64 ? `${text.slice(0, 63)}…` : text;
}
