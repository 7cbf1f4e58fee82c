// SPDX-License-Identifier: Apache-2.0
/** Debian packages of other suites, by apt with lists of its own, unpacked and never installed. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Kernel, kernels } from './kernels.ts';
import { output, run } from './run.ts';

/** Downloads stay here, outside of the tree. */
export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'toascope', 'vm');

/** What a kernel needs cannot be had on this machine; the message says why. */
export class Unavailable extends Error {}

const apt = join(cache, 'apt');
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

const aptOptions = [
	`Dir::State=${apt}/state`,
	'Dir::State::status=/dev/null',
	`Dir::Cache=${apt}/cache`,
	// container images switch these off, and then each call reads all lists again
	'Dir::Cache::pkgcache=pkgcache.bin',
	'Dir::Cache::srcpkgcache=srcpkgcache.bin',
	`Dir::Etc::sourcelist=${apt}/sources.list`,
	'Dir::Etc::sourceparts=/dev/null',
	'APT::Sandbox::User=root',
].flatMap((option) => ['-o', option]);

/** Where this machine has its packages from. */
async function mirror(): Promise<string> {
	const format = ['indextargets', '--format', '$(ORIGIN) $(REPO_URI)', 'Created-By: Packages'];
	const lines = (await output('apt-get', format)).split('\n');
	const line = lines.find((line) => /^Debian .*\/debian\/?$/.test(line));
	if (line === undefined) throw new Error('this machine has no packages of Debian: its apt lists none');
	return line.slice('Debian '.length).replace(/\/$/, '');
}

/** `deb` lines of a suite; a backport has the security fixes of its kernel in the suite's own. */
export async function sourcesOf(suite: string): Promise<string[]> {
	const base = await mirror();
	const line = (path: string, name: string) =>
		`deb [signed-by=${keyring}] ${base.replace(/debian$/, path)} ${name} main`;
	const release = suite.replace(/-backports$/, '');
	return [...new Set([line('debian', release), line('debian', suite), line('debian-security', `${release}-security`)])];
}

const listsLastMs = 7 * 24 * 3600 * 1000;

/** Reads the lists of all suites: when a suite is new or they are old, or at once. Without a network the old ones stay. */
async function readLists({ now = false } = {}): Promise<void> {
	const file = join(apt, 'sources.list');
	const sources: string[] = [];
	for (const suite of new Set(kernels.map(({ suite }) => suite))) sources.push(...(await sourcesOf(suite)));
	const text = `${[...new Set(sources)].join('\n')}\n`;
	const fresh = existsSync(file) && Date.now() - statSync(file).mtimeMs < listsLastMs;
	if (!now && fresh && readFileSync(file, 'utf8') === text) return;
	mkdirSync(join(apt, 'state/lists/partial'), { recursive: true });
	mkdirSync(join(apt, 'cache/archives/partial'), { recursive: true });
	writeFileSync(file, text);
	// apt-get does not wait for another one that reads the same lists
	await run('flock', [join(apt, 'lock'), 'apt-get', ...aptOptions, '-q', 'update']);
}

let reading: Promise<void> = Promise.resolve();

/** As readLists(), one after the other: guests that begin together need them once. */
function updateLists(options: { readonly now?: boolean } = {}): Promise<void> {
	const next = reading.then(() => readLists(options));
	reading = next.catch(() => {});
	return next;
}

/** The versions that a kind of package exists in. */
async function versions(prefix: string): Promise<string[]> {
	const names = await output('apt-cache', [...aptOptions, 'pkgnames', prefix]);
	return names.split('\n').map((name) => name.slice(prefix.length));
}

/** The newest version of a kernel whose image there is, and whose headers are if it has any. */
async function newest({ name, version, build }: Kernel): Promise<string> {
	const images = new Set(await versions('linux-image-'));
	const all = build === 'nowhere' ? images : images.intersection(new Set(await versions('linux-headers-')));
	const last = [...all]
		.filter((candidate) => version.test(candidate))
		.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
		.at(-1);
	if (last === undefined) throw new Error(`${name}: apt has no package linux-image-VERSION with ${version}`);
	return last;
}

async function isPackage(name: string): Promise<boolean> {
	return (await output('apt-cache', [...aptOptions, 'policy', name])).includes('Candidate: ');
}

/** The packages that the headers of a kernel consist of. */
async function headerPackages(version: string): Promise<string[]> {
	const headers = `linux-headers-${version}`;
	const depends = await output('apt-cache', [...aptOptions, 'depends', headers]);
	const needed = [...depends.matchAll(/Depends: (linux-(?:headers|kbuild)-\S+)/g)].map(([, name]) => name as string);
	return [headers, ...needed];
}

async function unpack(names: readonly string[], directory: string): Promise<void> {
	// another run may do the same at this time
	const fresh = `${directory}.${process.pid}`;
	rmSync(fresh, { recursive: true, force: true });
	mkdirSync(fresh, { recursive: true });
	try {
		await run('apt-get', [...aptOptions, '-q', 'download', ...names], { cwd: fresh });
		for (const file of readdirSync(fresh)) {
			await run('dpkg-deb', ['-x', file, '.'], { cwd: fresh });
			rmSync(join(fresh, file));
		}
		if (!existsSync(directory)) renameSync(fresh, directory);
	} finally {
		rmSync(fresh, { recursive: true, force: true });
	}
}

export interface Fetched {
	/** As `uname -r` says it. */
	readonly release: string;
	/** The kernel and its modules, unpacked. */
	readonly image: string;
	/** The packages of its headers; `headers` has them unpacked where modules are built here. */
	readonly headerPackages: readonly string[];
	readonly headers: string;
}

async function fetchNow(kernel: Kernel): Promise<Fetched> {
	const release = await newest(kernel);
	const image = join(cache, release, 'image');
	const headers = join(cache, release, 'headers');
	mkdirSync(join(cache, release), { recursive: true });
	if (!existsSync(image)) {
		// since 6.19 the image's package is empty
		const split = await isPackage(`linux-binary-${release}`);
		const modules = `linux-modules-${release}`;
		const parts = [`linux-binary-${release}`, ...((await isPackage(modules)) ? [modules] : [])];
		await unpack(split ? parts : [`linux-image-${release}`], image);
	}
	const packages = kernel.build === 'nowhere' ? [] : await headerPackages(release);
	if (kernel.build === 'here' && !existsSync(headers)) await unpack(packages, headers);
	return { release, image, headerPackages: packages, headers };
}

/** A kernel in the cache; what is missing is downloaded. @throws Unavailable */
export async function fetchKernel(kernel: Kernel): Promise<Fetched> {
	try {
		await updateLists();
		try {
			return await fetchNow(kernel);
		} catch {
			// the archive has a newer one than the lists
			await updateLists({ now: true });
			return await fetchNow(kernel);
		}
	} catch (error) {
		throw new Unavailable(`its packages cannot be had: ${(error as Error).message}`, { cause: error });
	}
}
