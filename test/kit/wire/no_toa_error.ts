// SPDX-License-Identifier: Apache-2.0
/**
 * The error of getsockopt(4096) on this kernel for a connection without a trusted TOA option
 * (the contract of getsockopt(4096)).
 */
import { constants } from 'node:os';
import { native } from '../../../native/binding.ts';

/** BPF programs on old kernels (5.10) cannot set an error, so the kernel's own remains. */
export const noToaError = native().probe().features.setError === '' ? 'EINVAL' : 'ENOPROTOOPT';

export const noToaErrno = constants.errno[noToaError];
