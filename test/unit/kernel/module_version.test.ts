// SPDX-License-Identifier: Apache-2.0
/** The module has the version of the package. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const text = (path: string): string => readFileSync(join(root, path), 'utf8');

it.each([
	['kernel/toa_main.c', /MODULE_VERSION\("(.*)"\)/],
	['kernel/dkms.conf', /PACKAGE_VERSION="(.*)"/],
])('%s has the version of the package', (path, pattern) => {
	expect(pattern.exec(text(path))?.[1]).toBe(JSON.parse(text('package.json')).version);
});
