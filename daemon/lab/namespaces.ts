// SPDX-License-Identifier: Apache-2.0
/**
 * The lab's network: three anonymous network namespaces, each kept alive by one small process, its
 * holder, so that the network ends with these processes. A holder exits at the end of its standard
 * input and gets SIGKILL when its parent dies, so nothing is left behind, however the lab ends.
 *
 *   client 2001:db8:c::/64 -- 2001:db8:1::/64 -- gateway 64:ff9b::/96, 198.51.100.0/28 -- 192.0.2.0/24 -- server
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { ToascopeError } from '../errors.ts';
import { isReadyLine, runToExit, stop, untilReady } from './process.ts';
import type { Tools } from './tools.ts';

export type NamespaceName = 'client' | 'gateway' | 'server';

/** Addresses of the lab. Every address in `clients` is local to the client. */
export const network = {
	clients: '2001:db8:c::/64',
	nat64: '64:ff9b::/96',
	pool: '198.51.100.0/28',
	server: '192.0.2.2',
	gatewayOfServer: '192.0.2.1',
	gatewayOfClient: '2001:db8:1::1',
	client: '2001:db8:1::2',
} as const;

/** No duplicate address detection and no router: every address is usable at once. */
const holder = `
cd /proc/sys/net/ipv6 &&
echo 0 >conf/default/accept_dad && echo 0 >conf/all/accept_dad && echo 0 >conf/default/accept_ra &&
echo 1 >ip_nonlocal_bind &&
echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range &&
echo '{"ready":true}' && exec cat >/dev/null`;

const clientCommands = `
link set lo up
address add ${network.client}/64 dev gateway nodad
link set gateway up
route add local ${network.clients} dev lo
route add default via ${network.gatewayOfClient} dev gateway`;

const gatewayCommands = (client: number, server: number) => `
link set lo up
link add client type veth peer name gateway netns ${client}
link add server type veth peer name gateway netns ${server}
address add ${network.gatewayOfClient}/64 dev client nodad
address add ${network.gatewayOfServer}/24 dev server
link set client up
link set server up
route add ${network.clients} via ${network.client} dev client
route add local ${network.nat64} dev lo
route add local ${network.pool} dev lo`;

const serverCommands = `
link set lo up
address add ${network.server}/24 dev gateway
link set gateway up
route add ${network.pool} via ${network.gatewayOfServer} dev gateway`;

/** Options of spawn(), except how it starts the process. */
export type ProcessOptions = Omit<SpawnOptions, 'shell' | 'detached'>;

export class Namespaces {
	readonly #tools: Tools;
	readonly #holders: Readonly<Record<NamespaceName, ChildProcess>>;

	private constructor(tools: Tools, holders: Readonly<Record<NamespaceName, ChildProcess>>) {
		this.#tools = tools;
		this.#holders = holders;
	}

	/**
	 * Creates and connects the three namespaces.
	 * @throws ToascopeError NO_PRIVILEGE without CAP_SYS_ADMIN and CAP_NET_ADMIN, or LAB_FAILED.
	 */
	static async open(tools: Tools): Promise<Namespaces> {
		const hold = () =>
			spawn(tools.setpriv, ['--pdeathsig', 'KILL', tools.unshare, '--net', '--', tools.sh, '-c', holder], {
				stdio: 'pipe',
			});
		const namespaces = new Namespaces(tools, { client: hold(), gateway: hold(), server: hold() });
		try {
			await namespaces.#wire();
		} catch (error) {
			await namespaces.close();
			throw error;
		}
		return namespaces;
	}

	async #wire(): Promise<void> {
		const named = Object.entries(this.#holders);
		const ready = named.map(([name, child]) => untilReady(child, `network namespace ${name}`, isReadyLine));
		const failed = (await Promise.allSettled(ready)).find((result) => result.status === 'rejected');
		if (failed !== undefined) throw failed.reason;
		await this.#ip('gateway', gatewayCommands(this.pid('client'), this.pid('server')));
		await Promise.all([this.#ip('client', clientCommands), this.#ip('server', serverCommands)]);
	}

	#ip(name: NamespaceName, commands: string): Promise<void> {
		const child = this.spawn(name, this.#tools.ip, ['-batch', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
		return runToExit(child, `ip in namespace ${name}`, `${commands.trim()}\n`);
	}

	/** The process that holds the namespace, which can be entered through `/proc/PID/ns/net`. */
	pid(name: NamespaceName): number {
		const pid = this.#holders[name].pid;
		if (pid === undefined) throw new ToascopeError('LAB_FAILED', `network namespace ${name} has no process`);
		return pid;
	}

	/** Inode number of the namespace, by which toascope identifies it. */
	inode(name: NamespaceName): number {
		return statSync(`/proc/${this.pid(name)}/ns/net`).ino;
	}

	/** Starts a command in a namespace. It gets SIGKILL when this process dies. */
	spawn(name: NamespaceName, command: string, args: readonly string[], options: ProcessOptions = {}): ChildProcess {
		const enter = [this.#tools.nsenter, `--net=/proc/${this.pid(name)}/ns/net`, '--', command, ...args];
		return spawn(this.#tools.setpriv, ['--pdeathsig', 'KILL', ...enter], options);
	}

	/** Kills the holders, which ends namespaces without other processes. Later calls do nothing. */
	async close(): Promise<void> {
		await Promise.all(Object.values(this.#holders).map((child) => stop(child, 'SIGKILL')));
	}
}
