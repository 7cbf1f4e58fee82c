// SPDX-License-Identifier: Apache-2.0
/**
 * Runs the daemon's provider inside the bench's own process, to measure what cannot be observed
 * from outside.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BpfProvider } from '../daemon/capture/bpf_provider.ts';
import { bpfReader } from '../daemon/capture/provider.ts';
import type { Config } from '../daemon/config/config.ts';
import { loadConfig } from '../daemon/config/load.ts';
import type { LogSink } from '../daemon/log_line.ts';
import type { Sandbox } from './sandbox.ts';

const silent: LogSink = { info() {}, warn() {}, error() {} };

export class InProcessDaemon implements Disposable {
	readonly provider: BpfProvider;
	readonly config: Config;

	private constructor(provider: BpfProvider, config: Config) {
		this.provider = provider;
		this.config = config;
	}

	/**
	 * Attaches the provider to that cgroup of the bench. `more` is further configuration in YAML,
	 * which must disable pinning.
	 */
	static open(sandbox: Sandbox, cgroup: string, more: string): InProcessDaemon {
		const path = join(sandbox.scratch, 'inside.yaml');
		writeFileSync(path, `cgroup: ${sandbox.cgroup(cgroup)}\n${more}\n`);
		const config = loadConfig({ path, env: {} });
		return new InProcessDaemon(BpfProvider.open(config, bpfReader, silent), config);
	}

	[Symbol.dispose](): void {
		this.provider.close(false);
	}
}
