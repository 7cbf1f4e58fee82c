// SPDX-License-Identifier: Apache-2.0
/**
 * A small Debian with systemd, of this machine's release: the root of guests in which systemd is
 * init.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cache, sourcesOf, Unavailable } from './apt.ts';
import { run } from './run.ts';

/** Also what toascope itself needs, and the tools with which tests inspect it. */
const packages = 'systemd,systemd-sysv,dbus,udev,kmod,iproute2,procps,libbpf1,libelf1,zlib1g,libstdc++6,curl';

/** This machine's release: programs that were built here run on it. */
function release(): string {
	const [, name] = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8')) ?? [];
	if (name === undefined) throw new Unavailable('no VERSION_CODENAME in /etc/os-release');
	return name;
}

/** Created once, in the cache. @throws Unavailable */
export async function systemdRoot(): Promise<string> {
	const suite = release();
	const directory = join(cache, `systemd-${suite}`);
	if (existsSync(directory)) return directory;
	const fresh = `${directory}.${process.pid}`;
	mkdirSync(cache, { recursive: true });
	try {
		const sources = await sourcesOf(suite);
		await run('mmdebstrap', ['--variant=apt', `--include=${packages}`, suite, fresh, ...sources]);
		if (!existsSync(directory)) renameSync(fresh, directory);
	} catch (error) {
		throw new Unavailable(`no root with systemd: ${(error as Error).message}`, { cause: error });
	} finally {
		rmSync(fresh, { recursive: true, force: true });
	}
	return directory;
}
