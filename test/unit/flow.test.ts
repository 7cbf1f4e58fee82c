// SPDX-License-Identifier: Apache-2.0
/** The linter holds the flow of the house: each edge against it is refused, each edge along it passes. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
let box: string;

/** Lints one file that holds `code` at `path` of an empty house, and gives the linter's words. */
function lint(path: string, code: string): string {
	const file = join(box, path);
	mkdirSync(dirname(file), { recursive: true });
	writeFileSync(file, `// SPDX-License-Identifier: Apache-2.0\n${code}\n`);
	try {
		execFileSync(process.execPath, [join(root, 'node_modules/@biomejs/biome/bin/biome'), 'lint', path], {
			cwd: box,
			stdio: 'pipe',
			encoding: 'utf8',
		});
		return '';
	} catch (error) {
		const { stdout, stderr } = error as { stdout: string; stderr: string };
		return stdout + stderr;
	} finally {
		rmSync(file);
	}
}

const value = (from: string): string => `import { thing } from '${from}';\n\nthing();`;
const type = (from: string): string => `import type { Thing } from '${from}';\n\nexport type Other = Thing;`;

beforeAll(() => {
	box = mkdtempSync(join(tmpdir(), 'toascope-flow-'));
	mkdirSync(join(box, 'scripts'));
	cpSync(join(root, 'biome.json'), join(box, 'biome.json'));
	cpSync(join(root, 'scripts/config-types.grit'), join(box, 'scripts/config-types.grit'));
	symlinkSync(join(root, 'node_modules'), join(box, 'node_modules'));
});

afterAll(() => rmSync(box, { recursive: true, force: true }));

describe('imports against the flow are refused', () => {
	it.each([
		['daemon/errors.ts', './model/address.ts'],
		['daemon/config/load.ts', '../model/address.ts'],
		['daemon/lab/lab.ts', '../capture/provider.ts'],
		['daemon/lab/lab.ts', '../../native/binding.ts'],
		['daemon/model/store.ts', '../capture/provider.ts'],
		['daemon/model/store.ts', '../export/prometheus/text.ts'],
		['daemon/model/store.ts', '../../native/binding.ts'],
		['daemon/capture/provider.ts', '../http/server.ts'],
		['daemon/capture/provider.ts', '../module/load.ts'],
		['daemon/module/load.ts', '../service/service.ts'],
		['daemon/export/prometheus/text.ts', '../../capture/provider.ts'],
		['daemon/export/prometheus/text.ts', '../../../native/binding.ts'],
		['daemon/http/server.ts', '../capture/provider.ts'],
		['daemon/http/server.ts', '../cli/run.ts'],
		['daemon/cli/run.ts', '../main.ts'],
		['native/binding.ts', '../daemon/model/address.ts'],
	])('%s <- %s', (path, from) => {
		expect(lint(path, value(from))).toContain('Against the flow');
		expect(lint(path, type(from)), 'types as well').toContain('Against the flow');
		expect(lint(path, `export * from '${from}';`), 're-exports as well').toContain('Against the flow');
		expect(lint(path, `export const later = (): unknown => import('${from}');`)).toContain('Against the flow');
	});

	it.each(['model', 'export'])('of config/, %s/ takes only types', (room) => {
		expect(lint(`daemon/${room}/file.ts`, value('../config/load.ts'))).toContain('only types of config/');
		expect(lint(`daemon/${room}/file.ts`, type('../config/load.ts'))).toBe('');
	});
});

describe('imports along the flow pass', () => {
	it.each([
		['daemon/config/load.ts', '../errors.ts'],
		['daemon/lab/lab.ts', '../../native/lab/binding.ts'],
		['daemon/capture/provider.ts', '../../native/binding.ts'],
		['daemon/capture/provider.ts', '../config/ports.ts'],
		['daemon/capture/provider.ts', '../model/address.ts'],
		['daemon/export/prometheus/text.ts', '../../model/snapshot.ts'],
		['daemon/export/prometheus/text.ts', '../metrics.ts'],
		['daemon/http/server.ts', '../export/prometheus/text.ts'],
		['daemon/module/kernel_module.ts', '../capture/provider.ts'],
		['daemon/cli/run.ts', '../capture/provider.ts'],
		['daemon/main.ts', './cli/run.ts'],
	])('%s <- %s', (path, from) => {
		expect(lint(path, value(from))).toBe('');
	});
});

it('every room of daemon/ has its rule', () => {
	const rules = readFileSync(join(root, 'biome.json'), 'utf8');
	const rooms = readdirSync(join(root, 'daemon'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
	for (const room of rooms) expect(rules).toContain(`"daemon/${room.name}/**"`);
});
