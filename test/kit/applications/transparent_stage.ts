// SPDX-License-Identifier: Apache-2.0
/** A lab with a daemon whose `transparent` is on for some ports, for programs that run on them. */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Route } from '../../../daemon/lab/gateway.ts';
import { Lab, network } from '../../../daemon/lab/lab.ts';
import type { LabClient } from '../../../daemon/lab/lab_client.ts';
import { Daemon } from '../daemon/daemon.ts';
import { wireNetwork } from '../wire/wire.ts';

export interface TransparentStageOptions {
	/** Local ports with `transparent`, and others that the daemon observes. */
	readonly transparent: readonly number[];
	readonly others?: readonly number[];
	readonly routes: readonly Route[];
}

export class TransparentStage implements AsyncDisposable {
	readonly lab: Lab;
	readonly daemon: Daemon;
	readonly clients: LabClient;
	/** For files of the test; it is removed at the end. */
	readonly directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));

	private constructor(lab: Lab, daemon: Daemon, clients: LabClient) {
		this.lab = lab;
		this.daemon = daemon;
		this.clients = clients;
	}

	static async open({ transparent, others = [], routes }: TransparentStageOptions): Promise<TransparentStage> {
		const lab = await Lab.open({ routes });
		try {
			const clients = await lab.client();
			const daemon = await Daemon.start({
				config: [
					`listeners: {ports: [${[...transparent, ...others].join(', ')}]}`,
					`transparent: {enabled: on, ports: [${transparent.join(', ')}]}`,
					`trust: [${network.pool}, ${wireNetwork.hosts4}]`,
				].join('\n'),
			});
			return new TransparentStage(lab, daemon, clients);
		} catch (error) {
			await lab.close();
			throw error;
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.daemon.stop();
		await this.lab.close();
		rmSync(this.directory, { recursive: true });
	}
}

/** A route of the gateway to the same port of the server. */
export function routeTo(port: number, profile: Route['profile']): Route {
	return { listenPort: port, backendPort: port, profile };
}

/** Lines of a process's standard error, as they arrive. */
export function stderrOf(child: ChildProcess): readonly string[] {
	const lines: string[] = [];
	if (child.stderr) createInterface({ input: child.stderr }).on('line', (text) => lines.push(text));
	return lines;
}

/** Resolves with the first line that matches, of an array or of a file that grows. */
export async function lineOf(source: readonly string[] | (() => string), pattern: RegExp): Promise<string> {
	for (;;) {
		const lines = typeof source === 'function' ? source().split('\n') : source;
		const found = lines.find((each) => pattern.test(each));
		if (found !== undefined) return found;
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}
