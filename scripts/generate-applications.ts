// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run applications`: runs every server that this machine has in the lab and writes docs/applications.md. As root. Says
 * which servers are not here; their rows stay as they are. Exit code 0 when the page is written.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../test/fixtures/applications/application.ts';
import { applications, Matrix, type Option, options } from '../test/fixtures/applications/matrix.ts';
import { type Cell, pagePath, renderPage, transparencies } from '../test/fixtures/applications/page.ts';
import { Daemon } from '../test/fixtures/daemon.ts';
import { listeners } from '../test/fixtures/stage.ts';

const connections = 3;

process.env.PATH = `${join(import.meta.dirname, '../build/tools/bin')}:${process.env.PATH}`;
const here = applications.filter(({ program }) => findProgram(program) !== undefined);
for (const { name, program } of applications) {
	if (findProgram(program) === undefined) console.log(`no ${program} here: ${name} stays as it was`);
}

await using matrix = await Matrix.open();
const cells: Cell[] = [];
for (const transparent of transparencies) {
	await using daemon = await Daemon.start({ config: matrix.config(transparent) });
	for (const application of here) {
		for (const listener of listeners) {
			for (const option of Object.keys(options) as Option[]) {
				const observations = await matrix.observe(daemon, application, listener, option, connections);
				cells.push({ application, listener, transparent, option, observations });
			}
		}
	}
}
const before = existsSync(pagePath) ? readFileSync(pagePath, 'utf8') : '';
writeFileSync(
	pagePath,
	renderPage(cells, before, (application) => application.version(findProgram(application.program) ?? '')),
);
console.log(`${pagePath}: ${here.length} of ${applications.length} applications, ${cells.length} cells`);
