// SPDX-License-Identifier: Apache-2.0
/** The identity of this boot: what counts from a boot on, such as socket cookies, is unique with it. */
import { readText } from './files.ts';

/** A UUID; empty where /proc is not mounted. */
export function bootId(): string {
	return readText('/proc/sys/kernel/random/boot_id') ?? '';
}
