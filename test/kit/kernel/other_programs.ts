// SPDX-License-Identifier: Apache-2.0
/**
 * Third-party programs on the hooks that toascope uses (bpf/foreign_*.bpf.c), attached by a
 * separate process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { isReadyLine, stop, untilReady } from '../../../daemon/lab/process.ts';
import { compile, compileBpf, type ObjectName } from './c_program.ts';

/** BPF_SOCK_OPS_*_FLAG of linux/bpf.h. */
export const flag = { RTO: 1, RETRANS: 2, STATE: 4, RTT: 8, PARSE_ALL: 16, PARSE_UNKNOWN: 32 } as const;
/** BPF_SOCK_OPS_* of linux/bpf.h, and FOREIGN_FLAGS_KEPT of bpf/foreign.h. */
export const op = {
	RWND_INIT: 2,
	PASSIVE_ESTABLISHED: 5,
	STATE: 10,
	LISTEN: 11,
	RTT: 12,
	PARSE: 13,
	FLAGS_KEPT: 31,
} as const;

/** What a getsockopt program saw of an option in the latest call. */
export interface ObservedOption {
	readonly level: number;
	readonly option: number;
	readonly retval: number;
	readonly optlen: number;
	readonly calls: number;
}

class Foreign<T> implements AsyncDisposable {
	readonly #child: ChildProcess;
	readonly #waiting: ((answer: T) => void)[] = [];

	protected constructor(object: ObjectName, cgroup: string, ...more: readonly number[]) {
		const args = [compileBpf(object), cgroup, ...more.map(String)];
		this.#child = spawn(compile('foreign'), args, { stdio: 'pipe' });
	}

	protected async attached(): Promise<this> {
		await untilReady(this.#child, 'foreign', isReadyLine, (answer) => this.#waiting.shift()?.(answer as T));
		return this;
	}

	/** Resolves with what its program has counted since it was attached. */
	counts(): Promise<T> {
		return new Promise((resolve) => {
			this.#waiting.push(resolve);
			this.#child.stdin?.write('\n');
		});
	}

	/** Detaches the program. */
	async [Symbol.asyncDispose](): Promise<void> {
		await stop(this.#child);
	}
}

/** Counts callbacks by number (`op`) of the sockets on one local port. */
export class ForeignSockops extends Foreign<readonly number[]> {
	/**
	 * `flags` are the callbacks that it requests. `window` is the first receive window, in
	 * segments; 0 for the kernel's.
	 */
	static attach(cgroup: string, port: number, flags: number, window = 0): Promise<ForeignSockops> {
		return new ForeignSockops('foreign_sockops', cgroup, port, flags, window).attached();
	}

	/** Replaces the flags that other programs have requested with none. */
	static clearFlags(cgroup: string, port: number): Promise<ForeignSockops> {
		return new ForeignSockops('foreign_sockops', cgroup, port, 0, 0, 1).attached();
	}
}

/** Writes a TOA option on each subflow that processes of the cgroup open. */
export class MptcpBalancer extends Foreign<readonly number[]> {
	static attach(cgroup: string): Promise<MptcpBalancer> {
		return new MptcpBalancer('mptcp_toa', cgroup).attached();
	}
}

export class ForeignGetsockopt extends Foreign<readonly ObservedOption[]> {
	static attach(cgroup: string): Promise<ForeignGetsockopt> {
		return new ForeignGetsockopt('foreign_getsockopt', cgroup).attached();
	}
}
