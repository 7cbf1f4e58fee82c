// SPDX-License-Identifier: Apache-2.0
/**
 * The licence check finds a missing line and a wrong one, and knows which room has which licence.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { allowedLicences, licenceProblems, statedLicence } from '../../../scripts/spdx.ts';

const line = (licence: string): string => `SPDX-License-Identifier: ${licence}`;

describe('statedLicence', () => {
	it.each([
		[`// ${line('Apache-2.0')}\ncode`, 'Apache-2.0'],
		[`/* ${line('GPL-2.0-only OR Apache-2.0')} */\ncode`, 'GPL-2.0-only OR Apache-2.0'],
		[`#!/bin/sh\n# ${line('Apache-2.0')}\ncode`, 'Apache-2.0'],
		[`code\n// ${line('Apache-2.0')}`, undefined],
		['', undefined],
	])('%j', (text, licence) => {
		expect(statedLicence(text)).toBe(licence);
	});
});

describe('allowedLicences', () => {
	it.each([
		['kernel/toa_main.c', ['GPL-2.0-only']],
		['kernel/Kbuild', ['GPL-2.0-only']],
		['bpf/sockops.bpf.c', ['GPL-2.0-only']],
		['bpf/records.h', ['GPL-2.0-only', 'GPL-2.0-only OR Apache-2.0']],
		['daemon/main.ts', ['Apache-2.0']],
		['native/addon.cc', ['Apache-2.0']],
		['CMakeLists.txt', ['Apache-2.0']],
		['.ci/run', ['Apache-2.0']],
		['package.json', undefined],
		['docs/architecture.md', undefined],
	])('%s', (path, licences) => {
		expect(allowedLicences(path)).toEqual(licences);
	});
});

describe('licenceProblems', () => {
	let folder: string;

	beforeEach(() => {
		folder = mkdtempSync(join(tmpdir(), 'toascope-spdx-'));
	});
	afterEach(() => rmSync(folder, { recursive: true }));

	it('names each file that is wrong, and no other', () => {
		const files = {
			'daemon/good.ts': `// ${line('Apache-2.0')}\n`,
			'daemon/bare.ts': 'export {};\n',
			'bpf/wrong.bpf.c': `// ${line('Apache-2.0')}\n`,
			'README.md': '# no source\n',
		};
		for (const [path, text] of Object.entries(files)) {
			mkdirSync(dirname(join(folder, path)), { recursive: true });
			writeFileSync(join(folder, path), text);
		}
		expect(licenceProblems(folder, Object.keys(files))).toEqual([
			'daemon/bare.ts: no SPDX line, expected Apache-2.0',
			'bpf/wrong.bpf.c: found Apache-2.0, expected GPL-2.0-only',
		]);
	});
});
