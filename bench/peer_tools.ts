// SPDX-License-Identifier: Apache-2.0
/**
 * Other tools that report connections: packages of this machine's own distribution, which are
 * unpacked and never installed.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../test/vm/run.ts';

const packages = ['libbpf-tools', 'bpfcc-tools', 'python3-bpfcc', 'libbpfcc', 'bpftrace'];
const directory = new URL('../build/tools/peers', import.meta.url).pathname;

export interface ComparedTool {
	readonly name: string;
	readonly what: string;
	readonly command: readonly [string, ...string[]];
	/** Whether it writes a line for each end of each connection. */
	readonly line: boolean;
}

/** The tools in the unpacked packages. */
export function comparedTools(folder: string): readonly ComparedTool[] {
	const sbin = (name: string) => join(folder, 'usr/sbin', name);
	return [
		{ name: 'tcplife', what: 'tcplife of libbpf-tools', command: [sbin('tcplife')], line: true },
		{ name: 'tcpstates', what: 'tcpstates of libbpf-tools', command: [sbin('tcpstates')], line: true },
		{
			name: 'tcplife_bpfcc',
			what: 'tcplife of bpfcc-tools',
			command: ['/usr/bin/python3', sbin('tcplife-bpfcc')],
			line: true,
		},
		{
			name: 'bpftrace',
			what: 'a bpftrace one-liner that counts accepts',
			command: [join(folder, 'usr/bin/bpftrace'), '-e', 'kretprobe:inet_csk_accept { @accepted[comm] = count(); }'],
			line: false,
		},
	];
}

/** Number of connection ends for which the tool wrote a line, or of accepts that it counted. */
export function countReported({ line }: ComparedTool, output: string): number {
	if (line) return output.split('\n').length;
	return [...output.matchAll(/: (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** The environment variables that the tools require. */
export function toolEnvironment(folder: string): Readonly<Record<string, string>> {
	const [libraries] = readdirSync(join(folder, 'usr/lib')).filter((name) => name.endsWith('-linux-gnu'));
	return {
		LD_LIBRARY_PATH: join(folder, 'usr/lib', libraries ?? ''),
		PYTHONPATH: join(folder, 'usr/lib/python3/dist-packages'),
	};
}

/**
 * Downloads and unpacks the tools if necessary, and returns their directory.
 * @throws Error if apt cannot download the packages on this machine
 */
export async function fetchTools(): Promise<string> {
	if (existsSync(directory)) return directory;
	const fresh = `${directory}.${process.pid}`;
	mkdirSync(fresh, { recursive: true });
	try {
		await run('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', ...packages], { cwd: fresh });
		for (const file of readdirSync(fresh)) {
			await run('dpkg-deb', ['-x', file, '.'], { cwd: fresh });
			rmSync(join(fresh, file));
		}
		renameSync(fresh, directory);
		return directory;
	} finally {
		rmSync(fresh, { recursive: true, force: true });
	}
}
