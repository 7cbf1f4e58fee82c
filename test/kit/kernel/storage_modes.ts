// SPDX-License-Identifier: Apache-2.0
/** Where the programs can keep connections, as far as this kernel permits it (bpf/slots.h). */
import { type Features, native } from '../../../native/binding.ts';

export const probed = native().probe();

/**
 * The features of this kernel if no program could read memory by address (native/probe.cc). Data
 * for which this kernel has no types is read by address as well, so its features are refused, too.
 */
const withoutReads: Features = {
	...probed.features,
	kernelReads: 'EPERM',
	...(probed.taskHelpers ? {} : { taskRegisters: 'EPERM' }),
	...(probed.features.tracingLocks === '' ? {} : { listeningSockets: 'EPERM' }),
};

/**
 * `readsOpen`: a sweep reads open connections. In socket storage no sweep does, and their bytes are
 * counted when they close. Any kernel can be treated as one that refuses reads by address
 * (lockdown=confidentiality).
 */
export const storageModes = [
	...(probed.features.kernelReads === ''
		? [{ storage: 'in the table', features: probed.features, readsOpen: true }]
		: []),
	{ storage: 'in socket storage', features: withoutReads, readsOpen: false },
];
