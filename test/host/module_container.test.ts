// SPDX-License-Identifier: Apache-2.0
/**
 * deploy/module: a container of the host's release (here a chroot with the packages that the Containerfile installs), with the
 * host's headers mounted read-only, gives a toa.ko that loads on that host: a guest of the matrix.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readKernelObject } from '../../daemon/module/kernel_object.ts';
import { main } from '../fixtures/daemon.ts';
import { patient } from '../fixtures/patience.ts';
import { cache, sourcesOf, Unavailable } from '../vm/apt.ts';
import { runGuest } from '../vm/guest.ts';
import { type Kernel, kernels } from '../vm/kernels.ts';
import { lacking } from '../vm/matrix.ts';
import { type Fetched, fetchKernel } from '../vm/packages.ts';
import { run } from '../vm/run.ts';

const root = join(import.meta.dirname, '../..');
const deployed = join(root, 'deploy/module');
const directory = mkdtempSync(join(tmpdir(), 'toascope-container-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** A Debian kernel whose compiler is its release's first. */
const kernel = kernels.find(({ name }) => name === '6.1') as Kernel;
const inGuest = readFileSync('/proc/cmdline', 'utf8').includes('toascope.proof=');
const lack = inGuest ? 'a guest has no guests' : lacking();

/** What packages.sh installs where there is apt, in a root of that release. @throws Unavailable */
async function image(): Promise<string> {
	const [, packages] =
		/apt-get install (?:-\S+ )*(.+) "\$@"/.exec(readFileSync(join(deployed, 'packages.sh'), 'utf8')) ?? [];
	const place = join(cache, `container-${kernel.suite}`);
	if (existsSync(place)) return place;
	const fresh = `${place}.${process.pid}`;
	try {
		const include = `--include=${packages?.replaceAll(' ', ',')}`;
		await run('mmdebstrap', ['--variant=apt', include, kernel.suite, fresh, ...(await sourcesOf(kernel.suite))]);
		if (!existsSync(place)) renameSync(fresh, place);
	} catch (cause) {
		throw new Unavailable(`no root for the container: ${(cause as Error).message}`, { cause });
	} finally {
		rmSync(fresh, { recursive: true, force: true });
	}
	return place;
}

/** The headers as their packages have them: where the matrix builds with them, their Makefile names their place here. */
function headersOfHost({ headers, release }: Fetched): string {
	const place = join(directory, 'headers');
	cpSync(headers, place, { recursive: true, verbatimSymlinks: true });
	const makefile = join(place, 'usr/src', `linux-headers-${release}`, 'Makefile');
	writeFileSync(makefile, readFileSync(makefile, 'utf8').replace(/ \/\S+(\/usr\/src\/)/, ' $1'));
	return place;
}

/** As `podman run -v ...:ro toa-build RELEASE` does. */
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
	const said = await run('unshare', ['--mount', 'sh', '-c', script, 'sh', ...args]);
	expect(said).not.toMatch(/warning/i);
	return join(out, release, 'toa.ko');
}

it(
	'a container with the headers mounted builds a module that loads',
	async (context) => {
		if (lack !== undefined) return context.skip(lack);
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
			limitSeconds: patient(600),
		});
		expect(report.troubles).toEqual([]);
		expect(report.steps).toMatchObject([
			{ name: 'load', failures: [] },
			{ name: 'unload', failures: [] },
		]);
	},
	patient(1_200_000),
);
