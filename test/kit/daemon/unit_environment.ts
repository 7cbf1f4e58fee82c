// SPDX-License-Identifier: Apache-2.0
/**
 * The environment that systemd passes to the daemon: the lines `Environment=NAME=VALUE` of its
 * unit, quoted where they contain blanks.
 */
import { readFileSync } from 'node:fs';

const unit = readFileSync(new URL('../../../deploy/systemd/toascope.service', import.meta.url), 'utf8');

export const unitEnvironment: Readonly<Record<string, string>> = Object.fromEntries(
	[...unit.matchAll(/^Environment=("?)(\w+)=(.*)\1$/gm)].map(([, , name, value]) => [name, value]),
);
