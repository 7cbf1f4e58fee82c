// SPDX-License-Identifier: Apache-2.0
/** Puts families together to the answer of a scrape, in pieces that never hold the event loop. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Family } from './family.ts';
import { type Format, formatHead } from './text.ts';

/** A piece is given out when it has grown past this many characters. */
const pieceLength = 240 * 1024;

/** After this long at a stretch, milliseconds, the event loop gets its turn. */
const stretchMs = 4;

/** The text of the families in order; a family without samples is left out. */
export async function* exposition(families: Iterable<Family>, format: Format): AsyncGenerator<string, void, void> {
	let text = '';
	let since = performance.now();
	for (const { head, lines } of families) {
		let first = true;
		for (const line of lines) {
			if (first) text += formatHead(head, format);
			first = false;
			text += line;
			if (text.length < pieceLength) continue;
			yield text;
			text = '';
			if (performance.now() - since < stretchMs) continue;
			await nextTurn();
			since = performance.now();
		}
	}
	yield format === 'openmetrics' ? `${text}# EOF\n` : text;
}
