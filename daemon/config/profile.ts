// SPDX-License-Identifier: Apache-2.0
/** A profile: how a vendor lays out the TOA option. */

/** Offsets count from the option's kind byte; a port has 2 bytes, an address 4 or 16. */
export interface Profile {
	/**
	 * Stable number, 1 to 31. Profiles that the configuration describes itself have 8 to 23, in the
	 * order of the file; built-in ones have the others.
	 */
	readonly id: number;
	readonly name: string;
	readonly kind: number;
	/** The length of the whole option. */
	readonly length: number;
	/** Undefined: the option carries no port. */
	readonly portAt: number | undefined;
	/** Undefined: the option names the virtual server and no client. */
	readonly addressAt: number | undefined;
	/** The family of the client's address and of the virtual server's. */
	readonly family: 4 | 6;
	/**
	 * Offset of the address of the virtual server, which the client connected to at the balancer.
	 */
	readonly vipAt: number | undefined;
	readonly vportAt: number | undefined;
	/** Offset of the number of its virtual network. */
	readonly vniAt: number | undefined;
	readonly vniForm: VniForm;
	/** The option is searched for on the SYN as well. */
	readonly onSyn: boolean;
	/** The value that byte 2 must have; undefined: the layout has no version. */
	readonly version: number | undefined;
	/**
	 * Where a connection has options of several profiles, those of the highest priority count, and
	 * the others are not a conflict.
	 */
	readonly priority: number;
	/**
	 * Which of several options of this profile counts; undefined: the first, and others that differ
	 * are a conflict.
	 */
	readonly pick: 'first' | 'last' | undefined;
	/**
	 * The interfaces that return its client, besides the records: getsockopt(), or accept() and
	 * getpeername().
	 */
	readonly uses: readonly ProfileUse[];
}

/**
 * 24 bits in network order (RFC 7348), 32 bits in network order, or 32 bits in little-endian order.
 */
export const vniForms = ['be24', 'be32', 'le32'] as const;

export type VniForm = (typeof vniForms)[number];

export const profileUses = ['sockopt', 'transparent'] as const;

type ProfileUse = (typeof profileUses)[number];
