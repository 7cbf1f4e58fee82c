// SPDX-License-Identifier: Apache-2.0
/** Loads configurations from the text of a file and an environment. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { Environment } from '../../../daemon/config/config.ts';
import { changes } from '../../../daemon/config/config.ts';
import { defaultConfig, loadConfig } from '../../../daemon/config/load.ts';

/** The directory of the current test. */
export let folder: string;

/** Call once per test file. */
export function setupPerTest(): void {
	beforeEach(() => {
		folder = mkdtempSync(join(tmpdir(), 'toascope-config-'));
	});
	afterEach(() => rmSync(folder, { recursive: true }));
}

export function load(text: string, env: Environment = {}) {
	const path = join(folder, 'toascope.yaml');
	writeFileSync(path, text);
	return loadConfig({ path, env });
}

/** The keys that differ from the defaults, named as in the file. */
export function differences(text: string, env: Environment = {}) {
	return Object.fromEntries(changes(defaultConfig(), load(text, env)).map(({ key, to }) => [key, to]));
}
