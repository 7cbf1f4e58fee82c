// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run applications` (as root): runs every installed server in the lab, and writes
 * docs/applications.md. It prints which servers are missing; their rows are not changed. Exit code
 * 0 if the page was written.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../test/kit/applications/application.ts';
import { applications, Matrix, type Option, options } from '../test/kit/applications/matrix.ts';
import { type Cell, pagePath, renderPage, transparencies } from '../test/kit/applications/page.ts';
import { Daemon } from '../test/kit/daemon/daemon.ts';
import { listeners } from '../test/kit/wire/toa_stage.ts';
import { formatDocument } from './documents.ts';

const connections = 3;

process.env.PATH = `${join(import.meta.dirname, '../build/tools/bin')}:${process.env.PATH}`;
const installed = applications.filter(({ program }) => findProgram(program) !== undefined);
for (const { name, program } of applications) {
	if (findProgram(program) === undefined) console.log(`${program} is not installed: ${name} keeps its rows`);
}

await using matrix = await Matrix.open();
const cells: Cell[] = [];
for (const transparent of transparencies) {
	await using daemon = await Daemon.start({ config: matrix.config(transparent) });
	for (const application of installed) {
		for (const listener of listeners) {
			for (const option of Object.keys(options) as Option[]) {
				const observations = await matrix.observe(daemon, application, listener, option, connections);
				cells.push({ application, listener, transparent, option, observations });
			}
		}
	}
}
const before = existsSync(pagePath) ? readFileSync(pagePath, 'utf8') : '';
const page = renderPage(cells, before, (application) => application.version(findProgram(application.program) ?? ''));
writeFileSync(pagePath, await formatDocument(page));
console.log(`${pagePath}: ${installed.length} of ${applications.length} applications, ${cells.length} cells`);
