// SPDX-License-Identifier: Apache-2.0
/**
 * The lab: clients over IPv6, a NAT64 gateway that writes TOA, a server over IPv4, each in a
 * network namespace of its own. No packet leaves this machine, and no part of the lab outlives this
 * process.
 *
 *   await using lab = await Lab.open({ routes: [{ listenPort: 8080, backendPort: 80, profile: 'nat64' }] });
 *   await lab.echoServer({ port: 80 });
 *   const client = await lab.client();
 *   const results = await client.run({ from: '2001:db8:c::1', clients: 50, to: '64:ff9b::192.0.2.2', port: 8080 });
 */
import type { ChildProcess } from 'node:child_process';
import { extname, join } from 'node:path';
import { findGateway, formatRoute, Gateway, type Route } from './gateway.ts';
import { LabClient } from './lab_client.ts';
import { LabServer } from './lab_server.ts';
import { type NamespaceName, Namespaces, network, type ProcessOptions } from './namespaces.ts';
import { stop } from './process.ts';
import type { EchoRecord } from './protocol.ts';
import { findTools } from './tools.ts';

export { network } from './namespaces.ts';

/** The server's address for an IPv6 client: its IPv4 address behind the NAT64 prefix. */
export const nat64Server = `64:ff9b::${network.server}`;

export interface LabOptions {
	/** Ports of the gateway; without any, no gateway is started. */
	readonly routes?: readonly Route[];
	/** The gateway's program. Default: the built one. */
	readonly gatewayPath?: string;
	/** A backend outside the lab: its network namespace's file, and the gateway's pool there. */
	readonly backend?: { readonly netns: string; readonly pool: string };
	/** cgroup v2 directory that holds this process. Default: the root of cgroup v2. */
	readonly cgroup?: string;
}

/** A script beside this one, in TypeScript or compiled, as this one is. */
function script(name: string): string {
	return join(import.meta.dirname, `${name}${extname(import.meta.filename)}`);
}

export class Lab {
	readonly #namespaces: Namespaces;
	readonly #options: LabOptions;
	readonly #children: ChildProcess[] = [];

	private constructor(namespaces: Namespaces, options: LabOptions) {
		this.#namespaces = namespaces;
		this.#options = options;
	}

	/**
	 * Creates the namespaces and starts the gateway.
	 * @throws ToascopeError MISSING_TOOL, NO_PRIVILEGE or LAB_FAILED; then nothing is left behind.
	 */
	static async open(options: LabOptions = {}): Promise<Lab> {
		const lab = new Lab(await Namespaces.open(findTools()), options);
		try {
			if (options.routes !== undefined && options.routes.length > 0) await lab.gateway(options.routes);
		} catch (error) {
			await lab.close();
			throw error;
		}
		return lab;
	}

	/** Inode number of a network namespace, by which toascope identifies it. */
	netnsInode(name: NamespaceName): number {
		return this.#namespaces.inode(name);
	}

	/** Starts a command in a namespace. Stopped with the lab; gets SIGKILL if this process dies. */
	spawn(name: NamespaceName, command: string, args: readonly string[], options: ProcessOptions = {}): ChildProcess {
		const child = this.#namespaces.spawn(name, command, args, options);
		this.#children.push(child);
		return child;
	}

	/**
	 * Starts another gateway, beside the one that Lab.open() starts for its routes.
	 * @throws ToascopeError MISSING_TOOL, NO_PRIVILEGE or LAB_FAILED.
	 */
	gateway(routes: readonly Route[]): Promise<Gateway> {
		const { gatewayPath, cgroup, backend } = this.#options;
		const args = [
			'--pool',
			backend?.pool ?? network.pool,
			...routes.flatMap((route) => ['--route', formatRoute(route)]),
		];
		if (cgroup !== undefined) args.push('--cgroup', cgroup);
		if (backend !== undefined) args.push('--backend-netns', backend.netns);
		return Gateway.open(this.spawn('gateway', gatewayPath ?? findGateway(), args, { stdio: 'pipe' }));
	}

	/**
	 * Starts a client; outside the client's namespace it makes direct connections, without TOA.
	 * @throws ToascopeError LAB_FAILED.
	 */
	client(name: NamespaceName = 'client'): Promise<LabClient> {
		return LabClient.open(this.spawn(name, process.execPath, [script('client')], { stdio: 'pipe' }));
	}

	/**
	 * Starts an echo server in the server's namespace. `host`: its address (default: all IPv4).
	 * @throws ToascopeError LAB_FAILED.
	 */
	echoServer(options: {
		readonly host?: string;
		readonly port: number;
		readonly onRecords?: (records: readonly EchoRecord[]) => void;
	}): Promise<LabServer> {
		const args = [script('echo_server'), options.host ?? '0.0.0.0', String(options.port)];
		const child = this.spawn('server', process.execPath, args, { stdio: 'pipe' });
		return LabServer.open(child, options.onRecords ?? (() => {}));
	}

	/** Stops all processes, last started first, then the namespaces. Later calls do nothing. */
	async close(): Promise<void> {
		for (const child of this.#children.splice(0).reverse()) await stop(child);
		await this.#namespaces.close();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}
}
