// SPDX-License-Identifier: Apache-2.0
/** Debian packages of other suites, by apt with lists of its own, unpacked and never installed. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Kernel, kernels } from './kernels.ts';
import { output, run } from './run.ts';

/** Downloads stay here, outside of the tree. */
export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'toascope', 'vm');

const apt = join(cache, 'apt');
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

const aptOptions = [
	`Dir::State=${apt}/state`,
	'Dir::State::status=/dev/null',
	`Dir::Cache=${apt}/cache`,
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

/** Reads the lists of all suites. */
export async function updateLists(): Promise<void> {
	mkdirSync(join(apt, 'state/lists/partial'), { recursive: true });
	mkdirSync(join(apt, 'cache/archives/partial'), { recursive: true });
	const suites = await Promise.all(kernels.map(({ suite }) => sourcesOf(suite)));
	writeFileSync(join(apt, 'sources.list'), `${[...new Set(suites.flat())].join('\n')}\n`);
	await run('apt-get', [...aptOptions, '-q', 'update']);
}

/** The newest version of a kernel whose image and headers there are, as the names of its packages have it. */
async function newest({ name, version }: Kernel): Promise<string> {
	const search = `^linux-headers-${name.replace('.', '\\.')}\\.`;
	const found = (await output('apt-cache', [...aptOptions, 'search', '--names-only', search]))
		.split('\n')
		.map((line) => line.replace(/ .*/, '').replace('linux-headers-', ''))
		.filter((candidate) => version.test(candidate))
		.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
	const last = found.at(-1);
	if (last === undefined) throw new Error(`${name}: no package linux-headers-${name}.*: apt has none`);
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
	const fresh = `${directory}.fresh`;
	rmSync(fresh, { recursive: true, force: true });
	mkdirSync(fresh, { recursive: true });
	await run('apt-get', [...aptOptions, '-q', 'download', ...names], { cwd: fresh });
	for (const file of readdirSync(fresh)) {
		await run('dpkg-deb', ['-x', file, '.'], { cwd: fresh });
		rmSync(join(fresh, file));
	}
	renameSync(fresh, directory);
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

/** A kernel in the cache; what is missing is downloaded. */
export async function fetchKernel(kernel: Kernel): Promise<Fetched> {
	if (!existsSync(join(apt, 'sources.list'))) await updateLists();
	const release = await newest(kernel);
	const image = join(cache, release, 'image');
	const headers = join(cache, release, 'headers');
	const packages = await headerPackages(release);
	mkdirSync(join(cache, release), { recursive: true });
	if (!existsSync(image)) {
		// since 7.x the image's package is empty
		const split = await isPackage(`linux-binary-${release}`);
		await unpack(split ? [`linux-binary-${release}`, `linux-modules-${release}`] : [`linux-image-${release}`], image);
	}
	if (kernel.build === 'here' && !existsSync(headers)) await unpack(packages, headers);
	return { release, image, headerPackages: packages, headers };
}
