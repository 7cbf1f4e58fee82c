// SPDX-License-Identifier: Apache-2.0
/** Options that several commands have. */
import { Option } from 'commander';

export interface ConfigOption {
	readonly config?: string;
}

export const configOption = new Option('--config <file>', 'configuration (default: /etc/toascope/toascope.yaml)');

export interface JsonOption {
	readonly json?: true;
}

export const jsonOption = (description: string): Option => new Option('--json', description);
