// SPDX-License-Identifier: Apache-2.0
/** The daemon's provider within the bench's own process, where a part is to be measured that nothing outside shows. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Programs } from '../daemon/capture/programs.ts';
import { bpfReader, type Provider } from '../daemon/capture/provider.ts';
import type { Config } from '../daemon/config/config.ts';
import { loadConfig } from '../daemon/config/load.ts';
import type { LogSink } from '../daemon/log_lines.ts';
import type { Ground } from './ground.ts';

const silent: LogSink = { info() {}, warn() {}, error() {} };

export class Inside implements Disposable {
	readonly provider: Provider;
	readonly config: Config;

	private constructor(provider: Provider, config: Config) {
		this.provider = provider;
		this.config = config;
	}

	/** Attached to that cgroup of the bench; `more` is YAML and says what is pinned: nothing is to be. */
	static open(ground: Ground, cgroup: string, more: string): Inside {
		const path = join(ground.scratch, 'inside.yaml');
		writeFileSync(path, `cgroup: ${ground.cgroup(cgroup)}\n${more}\n`);
		const config = loadConfig({ path, env: {} });
		return new Inside(Programs.open(config, bpfReader, silent), config);
	}

	[Symbol.dispose](): void {
		this.provider.close(false);
	}
}
