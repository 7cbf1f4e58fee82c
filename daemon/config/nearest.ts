// SPDX-License-Identifier: Apache-2.0
/** The known word that a typing error most likely meant. */

/** The nearest of `words`; undefined when none is near. A third of the letters may differ, at most three. */
export function nearest(typed: string, words: Iterable<string>): string | undefined {
	let best: string | undefined;
	let bestDistance = Math.max(1, Math.min(3, Math.floor(typed.length / 3))) + 1;
	for (const word of words) {
		if (Math.abs(typed.length - word.length) >= bestDistance) continue;
		const distance = editDistance(typed.toLowerCase(), word.toLowerCase());
		if (distance < bestDistance) {
			best = word;
			bestDistance = distance;
		}
	}
	return best;
}

/** Levenshtein: insertions, deletions and substitutions. */
function editDistance(a: string, b: string): number {
	let row = Array.from({ length: b.length + 1 }, (_, at) => at);
	for (let i = 1; i <= a.length; i++) {
		const next = [i];
		for (let j = 1; j <= b.length; j++) {
			const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
			next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
		}
		row = next;
	}
	return row[b.length] ?? 0;
}
