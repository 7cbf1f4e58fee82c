// SPDX-License-Identifier: Apache-2.0
/**
 * deploy/module: a container of the host's release builds a toa.ko from the host's headers, which
 * are mounted read-only. Here the container is a chroot with the packages that the Containerfile
 * installs, and the module is loaded on the host that it is for: a guest of the matrix.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readKernelObject } from '../../daemon/module/kernel_object.ts';
import { main } from '../kit/daemon/daemon.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { cache, sourcesOf, Unavailable } from '../vm/apt.ts';
import { runGuest } from '../vm/guest.ts';
import { type Kernel, kernels } from '../vm/kernels.ts';
import { missingRequirement } from '../vm/matrix.ts';
import { type Fetched, fetchKernel } from '../vm/packages.ts';
import { run } from '../vm/run.ts';

const root = join(import.meta.dirname, '../..');
const deployed = join(root, 'deploy/module');
const directory = mkdtempSync(join(tmpdir(), 'toascope-container-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** A Debian kernel that was built with the default compiler of its release. */
const kernel = kernels.find(({ name }) => name === '6.1') as Kernel;
const inGuest = readFileSync('/proc/cmdline', 'utf8').includes('toascope.proof=');
const unavailable = inGuest ? 'guests cannot run guests' : missingRequirement();

/**
 * Creates a root file system of the release with the packages that packages.sh installs by apt.
 * @throws Unavailable
 */
async function image(): Promise<string> {
	const [, packages] =
		/apt-get install (?:-\S+ )*(.+) "\$@"/.exec(readFileSync(join(deployed, 'packages.sh'), 'utf8')) ?? [];
	const rootfs = join(cache, `container-${kernel.suite}`);
	if (existsSync(rootfs)) return rootfs;
	const fresh = `${rootfs}.${process.pid}`;
	try {
		const include = `--include=${packages?.replaceAll(' ', ',')}`;
		await run('mmdebstrap', ['--variant=apt', include, kernel.suite, fresh, ...(await sourcesOf(kernel.suite))]);
		if (!existsSync(rootfs)) renameSync(fresh, rootfs);
	} catch (cause) {
		throw new Unavailable(`no root file system for the container: ${(cause as Error).message}`, { cause });
	} finally {
		rmSync(fresh, { recursive: true, force: true });
	}
	return rootfs;
}

/**
 * Copies the headers, as their packages install them: for the builds of the matrix their Makefile
 * contains their path on this machine.
 */
function headersOfHost({ headers, release }: Fetched): string {
	const copy = join(directory, 'headers');
	cpSync(headers, copy, { recursive: true, verbatimSymlinks: true });
	const makefile = join(copy, 'usr/src', `linux-headers-${release}`, 'Makefile');
	writeFileSync(makefile, readFileSync(makefile, 'utf8').replace(/ \/\S+(\/usr\/src\/)/, ' $1'));
	return copy;
}

/** Builds as `podman run -v ...:ro toa-build RELEASE` does. */
async function build(container: string, host: string, release: string): Promise<string> {
	const out = join(directory, 'out');
	const script = `set -e
		mount -t proc proc "$1/proc"
		mount -t tmpfs tmpfs "$1/mnt"
		mkdir "$1/mnt/toa" "$1/mnt/kernel" "$1/mnt/out"
		bind() { mkdir -p "$1/$3"; mount --bind "$2" "$1/$3"; mount -o remount,bind,$4 "$1/$3"; }
		for name in lib/modules usr/src usr/lib/linux-kbuild-*; do
			cd "$2"
			for path in $name; do bind "$1" "$2/$path" "$path" ro; done
		done
		bind "$1" "$3" mnt/toa ro
		bind "$1" "$4" mnt/kernel ro
		bind "$1" "$5" mnt/out rw
		exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TOA_SOURCES=/mnt/kernel TOA_OUT=/mnt/out sh /mnt/toa/build.sh "$6"`;
	mkdirSync(out);
	const args = [container, host, deployed, join(root, 'kernel'), out, release];
	const output = await run('unshare', ['--mount', 'sh', '-c', script, 'sh', ...args]);
	expect(output).not.toMatch(/warning/i);
	return join(out, release, 'toa.ko');
}

it(
	'a container with the headers mounted builds a module that loads',
	async (context) => {
		if (unavailable !== undefined) return context.skip(unavailable);
		let fetched: Fetched;
		let container: string;
		try {
			fetched = await fetchKernel(kernel);
			container = await image();
		} catch (error) {
			if (error instanceof Unavailable) return context.skip(error.message);
			throw error;
		}
		const file = await build(container, headersOfHost(fetched), fetched.release);
		expect(await readKernelObject(file)).toMatchObject({ release: fetched.release, signed: false });
		const load = ['sh', join(root, 'scripts/node.sh'), main, 'module', 'load', file, '--config', '/dev/null'];
		const unload = ['rmmod', 'toa'];
		const { report } = await runGuest({
			fetched,
			steps: [
				{ name: 'load', command: load },
				{ name: 'unload', command: unload },
			],
			directory: join(directory, 'guest'),
			limitSeconds: scaleTimeout(600),
		});
		expect(report.problems).toEqual([]);
		expect(report.steps).toMatchObject([
			{ name: 'load', failures: [] },
			{ name: 'unload', failures: [] },
		]);
	},
	scaleTimeout(1_200_000),
);
