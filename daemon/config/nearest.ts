// SPDX-License-Identifier: Apache-2.0
/**
 * Finds the known word that a misspelled one most likely means. The package `fastest-levenshtein`
 * counts a swap as two, too far to find `trust` for `trsut`; `damerau-levenshtein` counts as this
 * file does but is longer and has no types of its own.
 */

/**
 * The nearest of `words`; undefined when none is near. A third of the letters can differ, at most
 * three.
 */
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

/**
 * Counts insertions, deletions, substitutions, and swaps of adjacent letters (optimal string
 * alignment).
 */
function editDistance(a: string, b: string): number {
	let before: number[] = [];
	let row = Array.from({ length: b.length + 1 }, (_, at) => at);
	for (let i = 1; i <= a.length; i++) {
		const next = [i];
		for (let j = 1; j <= b.length; j++) {
			const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
			const swaps = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
			const swapped = swaps ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY;
			next.push(Math.min(substituted, swapped, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
		}
		before = row;
		row = next;
	}
	return row[b.length] ?? 0;
}
