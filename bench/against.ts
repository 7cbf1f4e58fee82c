// SPDX-License-Identifier: Apache-2.0
/** Builds another version of toascope from its commit, to measure its daemon beside this tree's. */
import { execFile } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ToascopeError } from '../daemon/errors.ts';

export interface ComparedVersion {
	/** The full hash. */
	readonly commit: string;
	/** The short hash, for display. */
	readonly name: string;
	/** Its daemon in the form that is published. */
	readonly program: string;
}

const tree = join(import.meta.dirname, '..');
const run = promisify(execFile);
const outputMax = 64 * 1024 * 1024;

/**
 * Unpacks the commit below build/bench/ and builds it there; a second call reuses the build. It
 * uses `git archive` because a work tree would stay registered in the repository.
 * @throws {ToascopeError} NOT_FOUND if `revision` is not a commit, LAB_FAILED with the output of
 * the step that failed
 */
export async function buildAgainst(revision: string, signal: AbortSignal): Promise<ComparedVersion> {
	const git = ['-C', tree, 'rev-parse', '--verify', '--end-of-options', `${revision}^{commit}`];
	const { stdout } = await run('git', git, { signal }).catch((cause: unknown) => {
		throw new ToascopeError('NOT_FOUND', `${revision} is not a commit of this repository`, { cause });
	});
	const commit = stdout.trim();
	const directory = join(tree, 'build/bench/against', commit);
	const build = `
		mkdir -p "$2"
		[ -f "$2/package.json" ] || git -C "$1" archive "$3" | tar -x -C "$2"
		cd "$2"
		sh scripts/setup.sh
		sh scripts/build.sh`;
	try {
		mkdirSync(directory, { recursive: true });
		await run('sh', ['-euc', build, 'sh', tree, directory, commit], { signal, maxBuffer: outputMax });
	} catch (cause) {
		// the next run would mistake a partial build for a complete one
		rmSync(directory, { recursive: true, force: true });
		const output = (cause as { stderr?: string }).stderr?.trim().split('\n').slice(-5).join('\n');
		throw new ToascopeError('LAB_FAILED', `${revision} cannot be built: ${output ?? (cause as Error).message}`, {
			cause,
		});
	}
	return { commit, name: commit.slice(0, 12), program: join(directory, 'dist/daemon/main.js') };
}
