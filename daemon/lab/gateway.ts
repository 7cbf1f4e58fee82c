// SPDX-License-Identifier: Apache-2.0
/** Controls the gateway process of the lab (native/lab/gateway.c). */
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ToascopeError } from '../errors.ts';
import { isReadyLine, stop, untilReady } from './process.ts';

/** Where a port of the gateway forwards to, and which option the server gets. */
export interface Route {
	readonly listenPort: number;
	readonly backendPort: number;
	/**
	 * `toa4`: the client's IPv4 address is the last 4 bytes of its IPv6 address. `hex:...`: the
	 * options' bytes.
	 */
	readonly profile: 'nat64' | 'toa6' | 'toa4' | 'none' | `hex:${string}`;
	/** `ack`: segments without payload, `data`: segments with payload. Default: both. */
	readonly segments?: readonly ('ack' | 'data')[];
}

/** What the gateway did until its exit. Bytes are payload. */
export interface GatewayTotals {
	readonly accepted: number;
	readonly connected: number;
	/** The backend could not be reached; the client got a RST. */
	readonly failed: number;
	readonly finished: number;
	readonly aborted: number;
	readonly toBackendBytes: number;
	readonly toClientBytes: number;
}

/** The value for the gateway's --route. */
export function formatRoute(route: Route): string {
	const segments = route.segments === undefined ? '' : `:${route.segments.join(',')}`;
	return `${route.listenPort}:${route.backendPort}:${route.profile}${segments}`;
}

/**
 * Finds the built gateway in the package that contains `folder`.
 * @throws ToascopeError MISSING_TOOL when it is not built.
 */
export function findGateway(folder: string = import.meta.dirname): string {
	for (let at = folder; at !== dirname(at); at = dirname(at)) {
		const file = join(at, 'build', 'lab', 'toascope-gateway');
		if (existsSync(file)) return file;
	}
	throw new ToascopeError('MISSING_TOOL', 'build/lab/toascope-gateway is missing', { hint: 'npm run build' });
}

export class Gateway {
	readonly #child: ChildProcess;
	#totals: GatewayTotals | undefined;

	private constructor(child: ChildProcess) {
		this.#child = child;
	}

	/**
	 * Resolves when `child`, which runs the gateway with pipes for all three streams, is ready.
	 * @throws ToascopeError LAB_FAILED, or NO_PRIVILEGE, when it does not start.
	 */
	static async open(child: ChildProcess): Promise<Gateway> {
		const gateway = new Gateway(child);
		await untilReady(child, 'lab gateway', isReadyLine, (value) => {
			gateway.#totals = value as GatewayTotals;
		});
		return gateway;
	}

	/** Stops it and its open connections. Resolves with its totals; undefined: it reported none. */
	async close(): Promise<GatewayTotals | undefined> {
		const { stdout } = this.#child;
		const read = stdout === null || stdout.closed ? undefined : new Promise((resolve) => stdout.once('close', resolve));
		await stop(this.#child);
		await read;
		return this.#totals;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}
}
