// SPDX-License-Identifier: Apache-2.0
/**
 * Finds words that the glossary (docs/glossary.md) replaced. The list has the terms that no other
 * meaning excuses; words with an everyday meaning as well ("place", "look", "turn") are left to the
 * reviewer.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface ReplacedTerm {
	readonly term: RegExp;
	readonly by: string;
	/**
	 * Files in which the word is right: they read records of earlier versions, or name something of
	 * others.
	 */
	readonly except?: RegExp;
}

/** Files that name the maps and records of earlier layouts. */
const earlierLayouts = /layout6\.bpf\.c$|pinning\/migrate\.ts$/;

const replaced: readonly ReplacedTerm[] = [
	{ term: /\btake_turn\b|\bgive_turn_back\b|\bnextTurn\b|\bNextTurn\b/, by: 'lock, unlock; Yield' },
	{ term: /\bwish(es|ed)?\b/i, by: 'deferred operation, request' },
	{ term: /\blet_fall\b|\bverdict (falls|fell|has fallen)\b/, by: 'decide' },
	{ term: /\bbeliev(e|es|ed|able)\b|\bbeliev\w*_/, by: 'trusted, has a client' },
	{ term: /\blistener_places\b|\bplaces\.h\b/, by: 'slot', except: earlierLayouts },
	{ term: /\bledger(_|\b)/i, by: 'meta', except: earlierLayouts },
	{ term: /\bgrafted\b/, by: 'had_struct_socket' },
	{ term: /\broster\b/i, by: 'ClientIndex' },
	{ term: /\bfoundation\b/i, by: 'scope' },
	{ term: /\bcarr(y|ies|ied)[ _]?over\b/i, by: 'migrate' },
	{ term: /\btake(s|n)?[ _]?over\b|\btook over\b/i, by: 'adopt' },
	{ term: /\brunsOver\b|\bruns_over\b|\bruns are over\b/, by: 'grace period, synchronize' },
	{ term: /\bkeepSyns\b|\bkeep_syns\b|\bkept_for_us\b/, by: 'setSaveSyn, saved_by_us' },
	{ term: /\bpeer_tags?\b|\bclient_tags?\b/, by: 'peer_hash, client_generation' },
	{ term: /\bunshown\b/, by: 'unexported', except: /layout6\.bpf\.c$|record_converter\.ts$/ },
	{ term: /\bannounce(d|s|ment)?\b(?!_(full|busy|stale))/i, by: 'report, emit' },
	{ term: /\btold\b|\bhears?\b|\b(un)?heard\b|\btell_/, by: 'reported, emitted, write' },
	{ term: /\bgranted\b|\bgrant_/, by: 'acquired, run_deferred' },
	{ term: /\breap(er|s)?\b/, by: 'sweep' },
	{ term: /PATIENCE/, by: 'TIMEOUT_FACTOR' },
	{ term: /\bsomebody\b|\b(whoever|whosever)\b/i, by: 'the component' },
	{ term: /\bhangs? (on|at|above|below)\b/, by: 'attached' },
	{
		term: /\bModuleAlone\b|\bGreatest\b|\bstandsOn\b|\bsection5\b/,
		by: 'ModuleProvider, TopK, matchesScope, contract',
	},
	{ term: /\bruns? that (had|have) begun\b.*\bover\b/, by: 'program runs that had started have ended' },
	{ term: /\blike the next\b/, by: 'the comment of each field' },
	{
		term: /^\s*(?:\/?\*+|\/\/|#)\s*(?:(?<!\*\*)Who\b|That which\b|Of )/,
		by: 'a sentence whose subject is the component',
	},
];

/** The list itself, and what quotes it. */
const quotes = /^(docs\/glossary\.md|scripts\/vocabulary\.ts|CHANGELOG\.md|package-lock\.json)$/;
const text = /\.(ts|c|h|cc|def|sh|py|md|ya?ml|json|service|timer|conf)$/;

/** One line for each replaced word: `FILE:LINE: "WORD": write ...`. */
export function vocabularyProblems(root: string, files: readonly string[]): string[] {
	return files
		.filter((file) => text.test(file) && !quotes.test(file))
		.flatMap((file) =>
			readFileSync(join(root, file), 'utf8')
				.split('\n')
				.flatMap((line, index) =>
					replaced.flatMap(({ term, by, except }) => {
						const found = except?.test(file) ? null : term.exec(line);
						return found === null ? [] : [`${file}:${index + 1}: "${found[0].trim()}": write ${by}`];
					}),
				),
		);
}
