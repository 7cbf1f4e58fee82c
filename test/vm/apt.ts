// SPDX-License-Identifier: Apache-2.0
/**
 * Debian's packages, of any suite and architecture, through apt with its own package lists:
 * downloaded and unpacked, never installed.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Architecture, amd64 } from './architectures.ts';
import { output, run } from './run.ts';

/** Downloads are kept here, outside of the tree. */
export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'toascope', 'vm');

/** What a kernel needs is not available on this machine; the message says why. */
export class Unavailable extends Error {}

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** The mirror that this machine has its packages from. */
async function mirror(): Promise<string> {
	const format = ['indextargets', '--format', '$(ORIGIN) $(REPO_URI)', 'Created-By: Packages'];
	const lines = (await output('apt-get', format)).split('\n');
	const line = lines.find((line) => /^Debian .*\/debian\/?$/.test(line));
	if (line === undefined) throw new Error('apt on this machine lists no mirror of Debian');
	return line.slice('Debian '.length).replace(/\/$/, '');
}

/** `deb` lines of a suite. A backported kernel gets its security fixes in the backports suite. */
export async function sourcesOf(suite: string): Promise<string[]> {
	const base = await mirror();
	const line = (path: string, name: string) =>
		`deb [signed-by=${keyring}] ${base.replace(/debian$/, path)} ${name} main`;
	const release = suite.replace(/-backports$/, '');
	return [...new Set([line('debian', release), line('debian', suite), line('debian-security', `${release}-security`)])];
}

const listsMaxAgeMs = 7 * 24 * 3600 * 1000;

/** The packages of an architecture, and those of this machine's own as `NAME:amd64`. */
export class Apt {
	readonly #directory: string;
	readonly #suites: readonly string[];
	readonly #options: readonly string[];
	#reading: Promise<void> = Promise.resolve();

	constructor({ name }: Architecture, suites: readonly string[]) {
		const directory = join(cache, name === amd64.name ? 'apt' : `apt-${name}`);
		this.#directory = directory;
		this.#suites = suites;
		this.#options = [
			`APT::Architecture=${name}`,
			...[...new Set([name, amd64.name])].map((each) => `APT::Architectures::=${each}`),
			`Dir::State=${directory}/state`,
			'Dir::State::status=/dev/null',
			`Dir::Cache=${directory}/cache`,
			// container images disable these caches, and then each call reads all lists again
			'Dir::Cache::pkgcache=pkgcache.bin',
			'Dir::Cache::srcpkgcache=srcpkgcache.bin',
			`Dir::Etc::sourcelist=${directory}/sources.list`,
			'Dir::Etc::sourceparts=/dev/null',
			'APT::Sandbox::User=root',
		].flatMap((option) => ['-o', option]);
	}

	/**
	 * Updates the lists of all suites if a suite is new or the lists are old, and with `now` in any
	 * case. Without a network, the old lists stay.
	 */
	async #readLists({ now = false } = {}): Promise<void> {
		const file = join(this.#directory, 'sources.list');
		const sources: string[] = [];
		for (const suite of this.#suites) sources.push(...(await sourcesOf(suite)));
		const text = `${[...new Set(sources)].join('\n')}\n`;
		const fresh = existsSync(file) && Date.now() - statSync(file).mtimeMs < listsMaxAgeMs;
		if (!now && fresh && readFileSync(file, 'utf8') === text) return;
		mkdirSync(join(this.#directory, 'state/lists/partial'), { recursive: true });
		mkdirSync(join(this.#directory, 'cache/archives/partial'), { recursive: true });
		writeFileSync(file, text);
		// apt-get does not wait for another apt-get that updates the same lists
		await run('flock', [join(this.#directory, 'lock'), 'apt-get', ...this.#options, '-q', 'update']);
	}

	/** Runs #readLists(), one call at a time: guests that start together update the lists once. */
	updateLists(options: { readonly now?: boolean } = {}): Promise<void> {
		const next = this.#reading.then(() => this.#readLists(options));
		this.#reading = next.catch(() => {});
		return next;
	}

	/** The names of all packages with this prefix. */
	async names(prefix: string): Promise<string[]> {
		return (await output('apt-cache', [...this.#options, 'pkgnames', prefix])).split('\n');
	}

	async isPackage(name: string): Promise<boolean> {
		return (await output('apt-cache', [...this.#options, 'policy', name])).includes('Candidate: ');
	}

	/** The packages that one depends on. */
	async dependencies(name: string): Promise<string[]> {
		const depends = await output('apt-cache', [...this.#options, 'depends', name]);
		return [...depends.matchAll(/Depends: ([^\s:]+)/g)].map(([, each]) => each as string);
	}

	async unpack(names: readonly string[], directory: string): Promise<void> {
		// another run can do the same at this time
		const fresh = `${directory}.${process.pid}`;
		rmSync(fresh, { recursive: true, force: true });
		mkdirSync(fresh, { recursive: true });
		try {
			await run('apt-get', [...this.#options, '-q', 'download', ...names], { cwd: fresh });
			for (const file of readdirSync(fresh)) {
				await run('dpkg-deb', ['-x', file, '.'], { cwd: fresh });
				rmSync(join(fresh, file));
			}
			if (!existsSync(directory)) renameSync(fresh, directory);
		} finally {
			rmSync(fresh, { recursive: true, force: true });
		}
	}
}
