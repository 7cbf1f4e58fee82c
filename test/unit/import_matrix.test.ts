// SPDX-License-Identifier: Apache-2.0
/**
 * Which room (directory of sources) is allowed to import which: data flows one way, from the kernel
 * to its readers, and nothing upstream waits for a reader.
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');

/**
 * `daemon` means the files beside daemon/main.ts, which all rooms build on; `type ROOM` allows only
 * the types of a room.
 */
const matrix: Readonly<Record<string, readonly string[]>> = {
	daemon: ['daemon/log_lines'],
	'daemon/log_lines': ['type daemon'],
	native: ['daemon'],
	'integrations/node': [],
	'native/lab': [],
	'daemon/config': ['daemon'],
	'daemon/api': [],
	'daemon/host': ['daemon', 'native', 'daemon/config'],
	'daemon/model': ['daemon', 'type daemon/config'],
	'daemon/capture': ['daemon', 'native', 'daemon/config', 'daemon/host', 'daemon/model'],
	'daemon/module': ['daemon', 'native', 'daemon/config', 'daemon/host', 'daemon/model', 'daemon/capture'],
	'daemon/export': ['daemon', 'type daemon/config', 'daemon/model'],
	'daemon/http': ['daemon', 'daemon/api', 'daemon/config', 'daemon/model', 'daemon/export'],
	'daemon/client': ['daemon', 'native', 'daemon/api', 'daemon/config', 'daemon/host', 'daemon/model'],
	'daemon/doctor': ['daemon', 'native', ...rooms('api client config host model capture module')],
	'daemon/lab': ['daemon', 'native/lab'],
	'daemon/service': ['daemon', 'native', ...rooms('api config host model capture module export http')],
	'daemon/cli': ['daemon', 'native', ...rooms('api client config host model capture module doctor service lab')],
	'daemon/main.ts': ['daemon', ...rooms('cli service')],
	scripts: ['daemon', ...rooms('config export http model'), 'test/kit', 'test/vm'],
	'test/vm': ['daemon', 'native', 'scripts', 'bench', 'test/kit', ...rooms(everyRoom())],
	'test/kit': ['daemon', 'native', 'scripts', 'bench', 'test/vm', ...rooms(everyRoom())],
	bench: ['daemon', 'native', 'test/kit', 'test/vm', ...rooms(everyRoom())],
};

function everyRoom(): string {
	return 'api cli client config host model capture module export http doctor lab service';
}

function rooms(names: string): string[] {
	return names.split(' ').map((name) => `daemon/${name}`);
}

interface Import {
	readonly from: string;
	readonly to: string;
	/** An `import type`. */
	readonly type: boolean;
}

/** The relative imports of a source. */
function readImports(file: string, text = readFileSync(join(root, file), 'utf8')): Import[] {
	const target = (path = '') => normalize(join(dirname(file), path));
	const statements = text.matchAll(/^(?:import|export)( type)?\b[^;']*? from '(\.[^']*)'/gm);
	const effects = text.matchAll(/^import '(\.[^']*)'/gm);
	const calls = text.matchAll(/\bimport\('(\.[^']*)'\)/g);
	return [
		...[...statements].map(([, type, path]) => ({ from: file, to: target(path), type: type !== undefined })),
		...[...effects, ...calls].map(([, path]) => ({ from: file, to: target(path), type: false })),
	];
}

/** The longest key of the matrix that contains a file; files beside daemon/main.ts are `daemon`. */
function roomOf(file: string): string | undefined {
	const below = Object.keys(matrix).filter((room) => file === room || file.startsWith(`${room}/`));
	const room = below.sort((a, b) => b.length - a.length)[0];
	return room === 'daemon' && dirname(file) !== 'daemon' ? undefined : room;
}

function isAllowed({ from, to, type }: Import): boolean {
	const [room = '', target = to] = [roomOf(from), roomOf(to)];
	const allowed = matrix[room] ?? [];
	return room === target || allowed.includes(target) || (type && allowed.includes(`type ${target}`));
}

const files = globSync('{native,daemon,integrations,scripts,bench,test/kit,test/vm}/**/*.ts', { cwd: root });
const imports = files.flatMap((file) => readImports(file));

it('finds the imports of a source in all of their forms', () => {
	const source = [
		"import { a } from './a.ts';",
		"import type { B } from '../b.ts';",
		"import {\n\tc,\n} from './c.ts';",
		"export * from './d.ts';",
		"import './e.ts';",
		"import fs from 'node:fs';",
		"const f = await import('./f.ts');",
	].join('\n');
	expect(readImports('daemon/http/x.ts', source).map(({ to, type }) => (type ? `type ${to}` : to))).toEqual([
		'daemon/http/a.ts',
		'type daemon/b.ts',
		'daemon/http/c.ts',
		'daemon/http/d.ts',
		'daemon/http/e.ts',
		'daemon/http/f.ts',
	]);
	expect(imports.length).toBeGreaterThan(1500);
});

it.each([
	['daemon/capture/provider.ts', 'daemon/export/metric_table.ts'],
	['daemon/capture/provider.ts', 'daemon/service/service.ts'],
	['daemon/model/store.ts', 'daemon/capture/load.ts'],
	['daemon/model/store.ts', 'daemon/http/app.ts'],
	['daemon/export/prometheus/exporter.ts', 'native/binding.ts'],
	['daemon/http/app.ts', 'daemon/service/service.ts'],
	['daemon/lab/lab.ts', 'daemon/capture/load.ts'],
	['daemon/main.ts', 'native/binding.ts'],
	['daemon/cli/doctor.ts', 'test/kit/daemon/daemon.ts'],
	['native/binding.ts', 'daemon/host/mounts.ts'],
])('%s is not allowed to import %s', (from, to) => {
	expect(isAllowed({ from, to, type: false })).toBe(false);
});

it('only types of the configuration are for the model', () => {
	const edge = { from: 'daemon/model/store.ts', to: 'daemon/config/profile.ts' };
	expect([true, false].map((type) => isAllowed({ ...edge, type }))).toEqual([true, false]);
});

it('every file belongs to a room of the matrix', () => {
	expect(files.filter((file) => roomOf(file) === undefined)).toEqual([]);
});

it('no room imports another one against the matrix', () => {
	const forbidden = imports.filter((each) => !isAllowed(each));
	expect(forbidden.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
});

it('there are no import cycles', () => {
	const next = Map.groupBy(imports, ({ from }) => from);
	const cycles: string[] = [];
	const done = new Set<string>();
	const visit = (file: string, path: readonly string[]): void => {
		const at = path.indexOf(file);
		if (at >= 0) cycles.push([...path.slice(at), file].join(' -> '));
		if (at >= 0 || done.has(file)) return;
		for (const { to } of next.get(file) ?? []) visit(to, [...path, file]);
		done.add(file);
	};
	for (const file of files) visit(file, []);
	expect(cycles).toEqual([]);
});
