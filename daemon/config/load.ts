// SPDX-License-Identifier: Apache-2.0
/** Loads the configuration: the file, over it the environment, below both the defaults. */
import { ToascopeError } from '../errors.ts';
import type { Config, Environment } from './config.ts';
import { toConfig } from './config.ts';
import { readEnvironment } from './environment.ts';
import { readBytes, readTree } from './file.ts';
import type { Tree } from './problem.ts';
import { ConfigError } from './problem.ts';
import { fileSchema } from './schema.ts';

/** Where the file is when none is named. */
export const defaultPath = '/etc/toascope/toascope.yaml';

/** From where the configuration in force comes. */
export interface Loaded {
	readonly config: Config;
	/** Undefined: there is none, the defaults hold. */
	readonly file: string | undefined;
}

/**
 * @param path the file; without it `usual`, which may be missing
 * @param env the environment: TOASCOPE_* are settings, OTEL_* decide defaults
 * @throws ToascopeError CONFIG_UNREADABLE
 * @throws ConfigError (CONFIG_INVALID) with every problem of file and environment
 */
export function loadConfigAndFile(
	{ path, env }: { path?: string | undefined; env: Environment },
	usual: string = defaultPath,
): Loaded {
	const bytes = path === undefined ? bytesIfThere(usual) : readBytes(path);
	const file = readTree(path ?? usual, bytes ?? new Uint8Array());
	const environment = readEnvironment(env);
	const problems = [...file.problems, ...environment.problems];
	if (problems.length > 0) throw new ConfigError(problems);
	// each can stand alone and no key depends on another, so the two together can
	const config = toConfig(fileSchema.parse(over(file.tree, environment.tree)), env);
	return { config, file: bytes === undefined ? undefined : (path ?? usual) };
}

/** As `loadConfigAndFile`, the configuration alone. */
export function loadConfig(from: { path?: string | undefined; env: Environment }): Config {
	return loadConfigAndFile(from).config;
}

/** What holds with neither file nor environment. */
export function defaultConfig(): Config {
	return toConfig(fileSchema.parse({}), {});
}

function bytesIfThere(path: string): Uint8Array | undefined {
	try {
		return readBytes(path);
	} catch (error) {
		const missing = error instanceof ToascopeError && (error.cause as NodeJS.ErrnoException).code === 'ENOENT';
		if (missing) return undefined;
		throw error;
	}
}

function over(below: Tree, above: Tree): Tree {
	const result = { ...below };
	for (const [name, value] of Object.entries(above)) {
		result[name] = isMap(value) ? over(longForm(below[name]), value) : value;
	}
	return result;
}

/** `transparent: on` is `transparent: {enabled: on}`, and so it is with `sockopt` and `clients.per_prefix`. */
function longForm(value: unknown): Tree {
	if (value === undefined) return {};
	return isMap(value) ? value : { enabled: value };
}

function isMap(value: unknown): value is Tree {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}
