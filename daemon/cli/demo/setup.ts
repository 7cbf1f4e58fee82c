// SPDX-License-Identifier: Apache-2.0
/** The addresses of the demo, and the daemon that it runs. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { type Config, toConfig } from '../../config/config.ts';
import { fileSchema } from '../../config/schema.ts';
import { ToascopeError } from '../../errors.ts';
import { network } from '../../lab/lab.ts';
import type { ConnectionEvent } from '../../model/connection.ts';
import { createLogger } from '../../service/log.ts';
import { Service, type ServiceOptions } from '../../service/service.ts';
import { type DemoOptions, defaultListen } from './options.ts';

/** The port of the server, and the port of the gateway through which clients reach it. */
export const port = 8080;
export const publicPort = 80;
/** Addresses of the gateway for a server of this host: every address of 127.0.0.0/8 is local. */
export const hostPool = '127.100.0.0/28';
export const hostServer = '64:ff9b::127.0.0.1';
export const firstClient = '2001:db8:c::1';

/** @throws {ToascopeError} LAB_FAILED */
export async function requireListener(backend: number): Promise<void> {
	const socket = connect(backend, '127.0.0.1');
	try {
		await once(socket, 'connect');
	} catch (cause) {
		throw new ToascopeError('LAB_FAILED', `cannot connect to 127.0.0.1:${backend}: ${(cause as Error).message}`, {
			hint: 'start your server first; it must listen on 127.0.0.1, 0.0.0.0 or [::]',
			cause,
		});
	} finally {
		socket.destroy();
	}
}

export function configuration({ listen, backend }: DemoOptions): Config {
	const settings = {
		listeners: { ports: [backend ?? port] },
		trust: [backend === undefined ? network.pool : hostPool],
		...(backend !== undefined && { transparent: { enabled: 'on', ports: [backend] } }),
		bpf: { pin: 'off' },
		http: { listen, socket: 'off' },
		log: { level: 'warn' },
	};
	const parsed = fileSchema.safeParse(settings);
	if (parsed.success) return toConfig(parsed.data, process.env);
	throw new ToascopeError('USAGE', `--listen ${listen}: ${parsed.error.issues[0]?.message ?? 'not an address'}`);
}

/** Another daemon on this machine can use the default port: the demo then uses any free port. */
export async function startService(options: DemoOptions, onEvent: (event: ConnectionEvent) => void): Promise<Service> {
	const start = (listen: string) => {
		const config = configuration({ ...options, listen });
		const service: ServiceOptions = options.once === undefined ? { onEvent } : {};
		return Service.start(config, createLogger(config.log), service);
	};
	try {
		return await start(options.listen);
	} catch (error) {
		if (!(error instanceof ToascopeError) || !/^(ADDRESS_|NO_PRIVILEGE$)/.test(error.code)) throw error;
		if (error.code === 'ADDRESS_IN_USE' && options.listen === defaultListen) return start('127.0.0.1:0');
		// NO_PRIVILEGE concerns the address if it names `listen`, otherwise the capabilities of the
		// process
		if (!/listen/.test(error.message) && error.code === 'NO_PRIVILEGE') throw error;
		throw new ToascopeError(error.code, `--listen ${options.listen}: ${error.message.replace(/^http\.listen: /, '')}`, {
			hint: 'choose another address and port; --listen 127.0.0.1:0 uses a free port',
			cause: error,
		});
	}
}
