// SPDX-License-Identifier: Apache-2.0
/** Whether the tests run inside a guest, which has no network and no guests of its own. */
import { readFileSync } from 'node:fs';

export const inGuest = readFileSync('/proc/cmdline', 'utf8').includes('toascope.proof=');
