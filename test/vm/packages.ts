// SPDX-License-Identifier: Apache-2.0
/** The kernels of the matrix, and their headers, from Debian's packages. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Apt, cache, Unavailable } from './apt.ts';
import { type Architecture, amd64 } from './architectures.ts';
import { type Kernel, kernels } from './kernels.ts';

const apts = new Map<Architecture, Apt>();

function aptOf(architecture: Architecture): Apt {
	const suites = kernels.filter((kernel) => kernel.architecture === architecture).map(({ suite }) => suite);
	const apt = apts.get(architecture) ?? new Apt(architecture, [...new Set(suites)]);
	apts.set(architecture, apt);
	return apt;
}

/** The versions in which packages with this prefix exist. */
async function versions(apt: Apt, prefix: string): Promise<string[]> {
	return (await apt.names(prefix)).map((name) => name.slice(prefix.length));
}

/** The newest version of a kernel that has an image, and headers unless it is built nowhere. */
async function newest(apt: Apt, { name, version, build }: Kernel): Promise<string> {
	const images = new Set(await versions(apt, 'linux-image-'));
	const all = build === 'nowhere' ? images : images.intersection(new Set(await versions(apt, 'linux-headers-')));
	const last = [...all]
		.filter((candidate) => version.test(candidate))
		.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
		.at(-1);
	if (last === undefined) throw new Error(`${name}: apt has no package linux-image-VERSION that matches ${version}`);
	return last;
}

/** The packages that the headers of a kernel consist of. */
async function headerPackages(apt: Apt, version: string): Promise<string[]> {
	const headers = `linux-headers-${version}`;
	const needed = (await apt.dependencies(headers)).filter((name) => /^linux-(?:headers|kbuild)-/.test(name));
	return [headers, ...needed];
}

/** For modules that are built here: linux-kbuild-* are build programs that run on this machine. */
const asRunHere = (name: string) => (name.startsWith('linux-kbuild-') ? `${name}:${amd64.name}` : name);

export interface Fetched {
	readonly architecture: Architecture;
	/** As `uname -r` prints it. */
	readonly release: string;
	/** The kernel and its modules, unpacked. */
	readonly image: string;
	/** The packages of its headers; if modules are built here, `headers` has them unpacked. */
	readonly headerPackages: readonly string[];
	readonly headers: string;
}

async function fetchNow(kernel: Kernel): Promise<Fetched> {
	const { architecture } = kernel;
	const apt = aptOf(architecture);
	const release = await newest(apt, kernel);
	const image = join(cache, release, 'image');
	const headers = join(cache, release, 'headers');
	mkdirSync(join(cache, release), { recursive: true });
	if (!existsSync(image)) {
		// since 6.19 the image's package is empty
		const split = await apt.isPackage(`linux-binary-${release}`);
		const modules = `linux-modules-${release}`;
		const parts = [`linux-binary-${release}`, ...((await apt.isPackage(modules)) ? [modules] : [])];
		await apt.unpack(split ? parts : [`linux-image-${release}`], image);
	}
	const packages = kernel.build === 'nowhere' ? [] : await headerPackages(apt, release);
	if (kernel.build === 'here' && !existsSync(headers)) await apt.unpack(packages.map(asRunHere), headers);
	return { architecture, release, image, headerPackages: packages, headers };
}

/** Returns a kernel in the cache; missing packages are downloaded. @throws Unavailable */
export async function fetchKernel(kernel: Kernel): Promise<Fetched> {
	const apt = aptOf(kernel.architecture);
	try {
		await apt.updateLists();
		try {
			return await fetchNow(kernel);
		} catch {
			// the archive has newer packages than the lists
			await apt.updateLists({ now: true });
			return await fetchNow(kernel);
		}
	} catch (error) {
		throw new Unavailable(`its packages are not available: ${(error as Error).message}`, { cause: error });
	}
}
