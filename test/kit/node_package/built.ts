// SPDX-License-Identifier: Apache-2.0
/** Builds integrations/node when it is imported, so that the imports after it find the addon. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

export const packageDirectory = join(import.meta.dirname, '../../../integrations/node');
const build = join(import.meta.dirname, '../../../build');

mkdirSync(build, { recursive: true });
// several test files do it at the same time
execFileSync(
	'flock',
	[join(build, '.node-package.lock'), process.execPath, join(packageDirectory, 'scripts/build.ts')],
	{ stdio: 'inherit' },
);
