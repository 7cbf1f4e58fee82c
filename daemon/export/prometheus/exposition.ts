// SPDX-License-Identifier: Apache-2.0
/** Puts families together to the answer of a scrape, in pieces that never hold the event loop. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Family } from './family.ts';
import { type Format, formatHead, pieceLength } from './text.ts';

/** After this long at a stretch, milliseconds, the event loop gets its turn. */
const stretchMs = 4;

/** The text of the families in order; a family without samples is left out. */
export async function* exposition(families: Iterable<Family>, format: Format): AsyncGenerator<Buffer, void, void> {
	let since = performance.now();
	for (const piece of pieces(families, format)) {
		yield piece;
		if (performance.now() - since < stretchMs) continue;
		await nextTurn();
		since = performance.now();
	}
}

function* pieces(families: Iterable<Family>, format: Format): Generator<Buffer> {
	let text = '';
	for (const { head, lines } of families) {
		let first = true;
		for (const line of lines) {
			if (first) text += formatHead(head, format);
			first = false;
			if (typeof line === 'string') {
				text += line;
				if (text.length < pieceLength) continue;
				yield Buffer.from(text);
			} else {
				if (text !== '') yield Buffer.from(text);
				yield line;
			}
			text = '';
		}
	}
	yield Buffer.from(format === 'openmetrics' ? `${text}# EOF\n` : text);
}
