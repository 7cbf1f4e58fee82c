// SPDX-License-Identifier: Apache-2.0
/**
 * Settings from environment variables: TOASCOPE_ and the path of the key, lists separated by
 * commas.
 */
import { parse } from 'yaml';
import type { Environment } from './config.ts';
import { nearest } from './nearest.ts';
import type { Problem, Tree } from './problem.ts';
import { formatPath, problemsOf } from './problem.ts';
import type { Key } from './schema.ts';
import { keys } from './schema.ts';

const prefix = 'TOASCOPE_';

/**
 * The counterparts of `transparent: on`, `sockopt: off` and `per_prefix: off`: each variable is
 * short for another one.
 */
const shortForms: Readonly<Record<string, string>> = {
	TOASCOPE_TRANSPARENT: 'TOASCOPE_TRANSPARENT_ENABLED',
	TOASCOPE_SOCKOPT: 'TOASCOPE_SOCKOPT_ENABLED',
	TOASCOPE_CLIENTS_PER_PREFIX: 'TOASCOPE_CLIENTS_PER_PREFIX_ENABLED',
};

/** The variable of the key that `variable` sets, which can be a short form. */
export function longForm(variable: string): string {
	return shortForms[variable] ?? variable;
}

const keyVariables = new Map<string, Key>(keys.map((key) => [key.variable, key]));
const variables = new Map<string, Pick<Key, 'path' | 'list'>>([
	...keyVariables,
	...Object.entries(shortForms).map(([short, long]) => [short, keyVariables.get(long) as Key] as const),
]);

/** The settings in the environment, and every problem in them. */
export function readEnvironment(env: Environment): { readonly tree: Tree; readonly problems: readonly Problem[] } {
	const tree: Tree = {};
	const problems: Problem[] = [];
	const origins = new Map<string, string>();
	for (const name of Object.keys(env).toSorted()) {
		const text = env[name];
		if (!name.startsWith(prefix) || text === undefined || isServiceLink(name, text)) continue;
		const key = variables.get(name);
		if (key === undefined) {
			problems.push({ at: name, key: undefined, message: unknownVariable(name) });
			continue;
		}
		const before = origins.get(key.path);
		if (before !== undefined) {
			problems.push({ at: name, key: key.path, message: `${key.path} is already set by ${before}` });
			continue;
		}
		origins.set(key.path, name);
		put(tree, key.path.split('.'), readValue(text, key.list === true));
	}
	for (const { path, message } of problemsOf(tree)) {
		// a problem inside a value, such as a list, belongs to the variable that set the value
		const lengths = Array.from(path, (_, index) => path.length - index);
		const origin = lengths
			.map((length) => origins.get(path.slice(0, length).join('.')))
			.find((name) => name !== undefined);
		const variable = origin ?? prefix;
		problems.push({ at: variable, key: formatPath(path), message });
	}
	return { tree, problems: problems.toSorted((a, b) => (a.at < b.at ? -1 : 1)) };
}

/** The names of the variables that set a key. */
export function setVariables(env: Environment): string[] {
	return Object.keys(env)
		.filter((name) => variables.has(name) && env[name] !== undefined)
		.toSorted();
}

/**
 * Kubernetes sets such variables in every pod for a Service named toascope; they are not settings.
 */
function isServiceLink(name: string, text: string): boolean {
	if (variables.has(name)) return false;
	return (
		/_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$/.test(name) || /^(tcp|udp|sctp):\/\//.test(text)
	);
}

function unknownVariable(name: string): string {
	const near = nearest(name, variables.keys());
	return near === undefined
		? 'unknown variable; docs/reference/configuration.md lists all of them'
		: `unknown variable; did you mean ${near}?`;
}

function put(tree: Tree, path: readonly string[], value: unknown): void {
	const [name = '', ...rest] = path;
	if (rest.length === 0) {
		tree[name] = value;
		return;
	}
	tree[name] ??= {};
	put(tree[name] as Tree, rest, value);
}

/**
 * A custom profile cannot be written in words: a text that begins with a bracket is a YAML list.
 */
function readValue(text: string, isList: boolean): unknown {
	const trimmed = text.trim();
	if (!isList || trimmed === '' || trimmed === 'all') return scalar(trimmed);
	if (!trimmed.startsWith('[')) return trimmed.split(',').map((entry) => scalar(entry.trim()));
	try {
		return parse(trimmed, { maxAliasCount: 0 });
	} catch {
		return trimmed;
	}
}

function scalar(text: string): unknown {
	if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
	return text === 'true' ? true : text === 'false' ? false : text;
}
