// SPDX-License-Identifier: Apache-2.0
/** Reads the configuration file, YAML 1.2, into a tree; every problem has its line and column. */
import { closeSync, openSync, readSync } from 'node:fs';
import type { Document } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import { reasonOf } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import type { Problem, Tree, TreeProblem } from './problem.ts';
import { formatPath, problemsOf } from './problem.ts';

const maxBytes = 1024 * 1024;
const maxAliases = 100;

/**
 * The bytes of the file, at most 1 MiB and one byte, which shows that it is too large.
 * @throws ToascopeError CONFIG_UNREADABLE; its cause has the code of the failed system call
 */
export function readBytes(file: string): Uint8Array {
	const buffer = Buffer.allocUnsafe(maxBytes + 1);
	let length = 0;
	try {
		const descriptor = openSync(file, 'r');
		try {
			for (let count = -1; count !== 0 && length < buffer.length; length += count) {
				count = readSync(descriptor, buffer, length, buffer.length - length, null);
			}
		} finally {
			closeSync(descriptor);
		}
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		throw new ToascopeError('CONFIG_UNREADABLE', `${file}: ${reasonOf(error)}`, {
			hint:
				code === 'ENOENT'
					? 'name the file with --config; without a file the defaults apply'
					: 'it must be a file that this user can read',
			cause: error,
		});
	}
	return buffer.subarray(0, length);
}

/** The settings in a file, and every problem in them. `file` is its name in messages. */
export function readTree(
	file: string,
	bytes: Uint8Array,
): { readonly tree: Tree; readonly problems: readonly Problem[] } {
	const refused = (message: string) => ({ tree: {}, problems: [{ at: file, key: undefined, message }] });
	if (bytes.length > maxBytes) return refused('the file is larger than 1 MiB');
	let text: string;
	try {
		text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
	} catch {
		return refused('the file is not UTF-8 text');
	}
	const lines = new LineCounter();
	// uniqueKeys needs quadratic time; duplicateKeys finds the same problems in linear time
	const document = parseDocument(text, {
		prettyErrors: false,
		lineCounter: lines,
		stringKeys: true,
		uniqueKeys: false,
		logLevel: 'error',
	});
	const locate = (offset: number) => {
		const { line, col } = lines.linePos(offset);
		return `${file}:${line}:${col}`;
	};
	const faults = faultsOf(document);
	if (faults.length > 0) {
		const problems = faults.map(({ offset, message }) => ({
			at: locate(offset),
			key: undefined,
			message: `invalid YAML: ${message}`,
		}));
		return { tree: {}, problems };
	}
	let tree: unknown;
	try {
		tree = document.toJS({ maxAliasCount: maxAliases });
	} catch (error) {
		// an alias without its anchor, or more aliases than a configuration needs
		return refused(`invalid YAML: ${(error as Error).message}`);
	}
	if (tree === null) return { tree: {}, problems: [] };
	const problems = problemsOf(tree)
		.map((problem) => ({ problem, offset: offsetOf(document, problem) }))
		.toSorted((a, b) => a.offset - b.offset)
		.map(({ problem: { path, message }, offset }) => ({
			at: locate(offset),
			key: path.length === 0 ? undefined : formatPath(path),
			message,
		}));
	return { tree: tree as Tree, problems };
}

interface Fault {
	readonly offset: number;
	readonly message: string;
}

function faultsOf(document: Document.Parsed): Fault[] {
	const faults = [...document.errors, ...document.warnings].map(({ pos, message }) => ({ offset: pos[0], message }));
	// the parser recurses, and reports this for each level that it abandons
	const deep = faults.find(({ message }) => message.includes('call stack'));
	if (deep !== undefined) return [{ offset: deep.offset, message: 'it is nested too deeply' }];
	if (document.directives.yaml.version !== '1.2') faults.push({ offset: 0, message: 'it must be YAML 1.2' });
	// errors after the first one are consequences of it
	const [first] = faults.toSorted((a, b) => a.offset - b.offset);
	return first === undefined ? duplicateKeys(document) : [first];
}

function duplicateKeys(document: Document.Parsed): Fault[] {
	const faults: Fault[] = [];
	visit(document, {
		Map(_, map) {
			const seen = new Set<unknown>();
			for (const { key } of map.items) {
				if (!isScalar(key)) continue;
				if (seen.has(key.value)) faults.push({ offset: key.range?.[0] ?? 0, message: `duplicate key "${key.value}"` });
				seen.add(key.value);
			}
		},
	});
	return faults.toSorted((a, b) => a.offset - b.offset);
}

/** The position of the problem; if something is missing, that of the map that lacks it. */
function offsetOf(document: Document.Parsed, { path, unknown }: TreeProblem): number {
	let node: unknown = document.contents;
	let offset = startOf(node) ?? 0;
	for (const [at, part] of path.entries()) {
		const inner = isAlias(node) ? node.resolve(document) : node;
		if (isMap(inner)) {
			const pair = inner.items.find(({ key }) => isScalar(key) && String(key.value) === String(part));
			node = unknown && at === path.length - 1 ? pair?.key : pair?.value;
		} else {
			node = isSeq(inner) ? inner.items[Number(part)] : undefined;
		}
		offset = startOf(node) ?? offset;
	}
	return offset;
}

function startOf(node: unknown): number | undefined {
	return isAlias(node) || isMap(node) || isSeq(node) || isScalar(node) ? node.range?.[0] : undefined;
}
