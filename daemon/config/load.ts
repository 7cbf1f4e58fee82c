// SPDX-License-Identifier: Apache-2.0
/** Loads the configuration: the environment overrides the file, and the file the defaults. */
import { ToascopeError } from '../errors.ts';
import type { Config, Environment } from './config.ts';
import { toConfig } from './config.ts';
import { readEnvironment } from './environment.ts';
import { readBytes, readTree } from './file.ts';
import { otelProblems } from './otel_problems.ts';
import type { Tree } from './problem.ts';
import { ConfigError } from './problem.ts';
import { fileSchema } from './schema.ts';

/** The file that is used when none is named. */
export const defaultPath = '/etc/toascope/toascope.yaml';

/** A configuration, and the file that it comes from. */
export interface LoadedConfig {
	readonly config: Config;
	/** Undefined: there is no file, and the defaults apply. */
	readonly file: string | undefined;
}

/**
 * @param path the file; without it `fallback`, which can be missing
 * @param env the environment: TOASCOPE_* are settings, OTEL_* decide defaults
 * @throws ToascopeError CONFIG_UNREADABLE
 * @throws ConfigError (CONFIG_INVALID) with every problem of file and environment
 */
export function loadConfigAndFile(
	{ path, env }: { path?: string | undefined; env: Environment },
	fallback: string = defaultPath,
): LoadedConfig {
	const bytes = path === undefined ? readIfPresent(fallback) : readBytes(path);
	const file = readTree(path ?? fallback, bytes ?? new Uint8Array());
	const environment = readEnvironment(env);
	const problems = [...file.problems, ...environment.problems];
	if (problems.length > 0) throw new ConfigError(problems);
	// both are valid and no key depends on another one, so their combination is valid
	const config = toConfig(fileSchema.parse(overlay(file.tree, environment.tree)), env);
	const unusable = otelProblems(config.otel, env);
	if (unusable.length > 0) throw new ConfigError(unusable);
	return { config, file: bytes === undefined ? undefined : (path ?? fallback) };
}

/** Like `loadConfigAndFile`, but returns only the configuration. */
export function loadConfig(from: { path?: string | undefined; env: Environment }): Config {
	return loadConfigAndFile(from).config;
}

/** The configuration with neither a file nor an environment. */
export function defaultConfig(): Config {
	return toConfig(fileSchema.parse({}), {});
}

function readIfPresent(path: string): Uint8Array | undefined {
	try {
		return readBytes(path);
	} catch (error) {
		const missing = error instanceof ToascopeError && (error.cause as NodeJS.ErrnoException).code === 'ENOENT';
		if (missing) return undefined;
		throw error;
	}
}

function overlay(base: Tree, overrides: Tree): Tree {
	const result = { ...base };
	for (const [name, value] of Object.entries(overrides)) {
		result[name] = isMap(value) ? overlay(longForm(base[name]), value) : value;
	}
	return result;
}

/**
 * `transparent: on` is short for `transparent: {enabled: on}`; `sockopt` and `clients.per_prefix`
 * have the same short form.
 */
function longForm(value: unknown): Tree {
	if (value === undefined) return {};
	return isMap(value) ? value : { enabled: value };
}

function isMap(value: unknown): value is Tree {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}
