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

/**
 * @param path the file; without it the default one, which may be missing
 * @param env the environment: TOASCOPE_* are settings, OTEL_* decide defaults
 * @throws ToascopeError CONFIG_UNREADABLE
 * @throws ConfigError (CONFIG_INVALID) with every problem of file and environment
 */
export function loadConfig({ path, env }: { path?: string | undefined; env: Environment }): Config {
	const file = readTree(path ?? defaultPath, path === undefined ? bytesOfDefault() : readBytes(path));
	const environment = readEnvironment(env);
	const problems = [...file.problems, ...environment.problems];
	if (problems.length > 0) throw new ConfigError(problems);
	// each can stand alone and no key depends on another, so the two together can
	return toConfig(fileSchema.parse(over(file.tree, environment.tree)), env);
}

/** What holds with neither file nor environment. */
export function defaultConfig(): Config {
	return toConfig(fileSchema.parse({}), {});
}

function bytesOfDefault(): Uint8Array {
	try {
		return readBytes(defaultPath);
	} catch (error) {
		const missing = error instanceof ToascopeError && (error.cause as NodeJS.ErrnoException).code === 'ENOENT';
		if (missing) return new Uint8Array();
		throw error;
	}
}

function over(below: Tree, above: Tree): Tree {
	const result = { ...below };
	for (const [name, value] of Object.entries(above)) {
		result[name] = isMap(value) ? { ...longForm(below[name]), ...value } : value;
	}
	return result;
}

/** `transparent: on` is `transparent: {enabled: on}`. */
function longForm(value: unknown): Tree {
	if (value === undefined) return {};
	return isMap(value) ? value : { enabled: value };
}

function isMap(value: unknown): value is Tree {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}
