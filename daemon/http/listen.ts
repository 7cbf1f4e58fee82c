// SPDX-License-Identifier: Apache-2.0
/** Lets the application listen on TCP. */
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { reasonOf } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { type Endpoint, formatEndpoint } from '../model/address.ts';

/**
 * Listens on an address; with port 0 the kernel chooses the port.
 *
 * @returns the address and port that it listens on
 * @throws {ToascopeError} ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE, NO_PRIVILEGE, CONFIG_INVALID
 */
export async function listenTcp(app: FastifyInstance, at: Endpoint): Promise<Endpoint> {
	try {
		await app.listen({ host: at.text, port: at.port, listenTextResolver: (address) => `listening on ${address}` });
	} catch (error) {
		throw tcpError(error, formatEndpoint(at), at.port);
	}
	const { address, port } = app.server.address() as AddressInfo;
	return { family: at.family, text: address, port };
}

function tcpError(error: unknown, address: string, port: number): unknown {
	switch ((error as NodeJS.ErrnoException).code) {
		case 'EADDRINUSE':
			return new ToascopeError('ADDRESS_IN_USE', `another process listens on ${address}`, {
				hint: `find it with: ss -ltnp 'sport = :${port}'; or set http.listen to another address`,
				cause: error,
			});
		case 'EADDRNOTAVAIL':
			return new ToascopeError('ADDRESS_NOT_AVAILABLE', `http.listen: ${address} is not an address of this host`, {
				hint: 'list the addresses with: ip address (a `tentative` one becomes usable within seconds)',
				cause: error,
			});
		case 'EACCES':
			return new ToascopeError('NO_PRIVILEGE', `no permission to listen on ${address}`, {
				hint: 'a port below 1024 needs CAP_NET_BIND_SERVICE; or set http.listen to another port',
				cause: error,
			});
		default:
			return new ToascopeError('CONFIG_INVALID', `http.listen: cannot listen on ${address}: ${reasonOf(error)}`, {
				hint: 'set http.listen to an address of this host, or to off',
				cause: error,
			});
	}
}
