// SPDX-License-Identifier: Apache-2.0
/**
 * A small Debian of another architecture: the root of its guests, and the sysroot for programs that
 * run in them.
 */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cache, sourcesOf, Unavailable } from './apt.ts';
import type { Architecture } from './architectures.ts';
import { run } from './run.ts';

/** The release that has gcc 12: the cross compiler's libraries are not newer than the root's. */
const release = 'bookworm';

const packages = [
	// for guest.sh, the daemon and the lab
	...['bash', 'busybox-static', 'coreutils', 'dash', 'findutils', 'grep', 'iproute2', 'kmod', 'libstdc++6', 'mount'],
	...['procps', 'sed', 'tar', 'util-linux', 'base-passwd', 'netbase'],
	// for the tests
	...['bpftool', 'nginx-light'],
	// for building the native parts
	...['libbpf-dev', 'libc6-dev', 'libelf-dev', 'zlib1g-dev'],
];

/**
 * Created once, in the cache. Package scripts do not run, since this machine cannot run the
 * programs of the packages.
 * @throws Unavailable
 */
export async function foreignRoot({ name }: Architecture): Promise<string> {
	const version = createHash('sha256').update(packages.join()).digest('hex').slice(0, 8);
	const directory = join(cache, `root-${release}-${name}-${version}`);
	if (existsSync(directory)) return directory;
	const fresh = `${directory}.${process.pid}`;
	mkdirSync(cache, { recursive: true });
	try {
		const options = ['--variant=extract', `--architectures=${name}`, `--include=${packages.join()}`];
		await run('mmdebstrap', [...options, release, fresh, ...(await sourcesOf(release))]);
		for (const file of ['passwd', 'group']) {
			cpSync(join(fresh, `usr/share/base-passwd/${file}.master`), join(fresh, 'etc', file));
		}
		if (!existsSync(directory)) renameSync(fresh, directory);
	} catch (error) {
		throw new Unavailable(`no root for ${name}: ${(error as Error).message}`, { cause: error });
	} finally {
		rmSync(fresh, { recursive: true, force: true });
	}
	return directory;
}
