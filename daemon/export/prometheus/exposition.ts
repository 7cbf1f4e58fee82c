// SPDX-License-Identifier: Apache-2.0
/** Assembles families into the response of a scrape, in chunks, without blocking the event loop. */
import { TimeSlice } from '../../event_loop.ts';
import type { Family } from './family.ts';
import { chunkLength, type Format, formatHead } from './text.ts';

/** The text of the families in order; a family without samples is left out. */
export async function* exposition(families: Iterable<Family>, format: Format): AsyncGenerator<Buffer, void, void> {
	const slice = new TimeSlice();
	for (const chunk of chunks(families, format)) {
		yield chunk;
		if (slice.expired) await slice.yield();
	}
}

function* chunks(families: Iterable<Family>, format: Format): Generator<Buffer> {
	let text = '';
	for (const { head, lines } of families) {
		let first = true;
		for (const line of lines) {
			if (first) text += formatHead(head, format);
			first = false;
			if (typeof line === 'string') {
				text += line;
				if (text.length < chunkLength) continue;
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
