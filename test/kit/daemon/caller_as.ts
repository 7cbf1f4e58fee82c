// SPDX-License-Identifier: Apache-2.0
/**
 * A process of the user nobody that connects to the daemon. Its only privilege is to read the files
 * of the tests.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

const nobody = 65_534;
export const nobodyCaller = `uid ${nobody}`;

/** Runs the source text of a module as nobody. `printed` is its output, parsed as JSON. */
export function runAsNobody(code: string): { readonly child: ChildProcess; readonly printed: Promise<unknown> } {
	const caps = ['--inh-caps', '+dac_read_search', '--ambient-caps', '+dac_read_search'];
	const user = ['--reuid', `${nobody}`, '--regid', `${nobody}`, '--clear-groups', '--pdeathsig', 'KILL'];
	const node = [process.execPath, '--input-type=module', '--eval', code];
	const child = spawn('setpriv', [...user, ...caps, '--', ...node], { stdio: ['pipe', 'pipe', 'inherit'] });
	let text = '';
	child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
		text += chunk;
	});
	const printed = once(child, 'close').then(() => JSON.parse(text) as unknown);
	return { child, printed };
}
