/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The TOA option parser, the only one. The kernel module, the BPF programs, and the user-space
 * tests and fuzzer compile this file, so they cannot disagree.
 *
 * It calls nothing and allocates nothing. Option lists are read according to RFC 9293, section 3.2:
 * EOL ends the list, NOP is one byte, every other option carries its length.
 *
 * Every index is masked to the size of its array, and the cursor is in memory. So the BPF verifier
 * proves each access by itself, without following the loop's history. The masks never change an
 * index that has passed the checks above them.
 */
#ifndef TOA_OPTION_H
#define TOA_OPTION_H

typedef unsigned char toa_u8;
typedef unsigned short toa_u16;
typedef unsigned int toa_u32;

#define TOA_INLINE static inline __attribute__((always_inline))

#ifdef __cplusplus
#define TOA_STATIC_ASSERT(condition, what) static_assert(condition, what)
#else
#define TOA_STATIC_ASSERT(condition, what) _Static_assert(condition, what)
#endif

#define TOA_OPTIONS_MAX 40 /* data offset is 4 bits of 32-bit words: 60 - 20 bytes */
#define TOA_LIST_SIZE 64   /* TOA_OPTIONS_MAX rounded up to a power of two */
#define TOA_LIST_MASK (TOA_LIST_SIZE - 1)
#define TOA_PROFILES_MAX 16
#define TOA_PROFILE_SLOTS 32 /* TOA_PROFILES_MAX and slot 0, rounded up to a power of two */
#define TOA_MATCHES_MAX 8    /* the shortest useful option has 6 bytes: 6 fit in 40 */
#define TOA_ABSENT 0         /* offset of a field that the option lacks: its kind is there */
#define TOA_VERSION_AT 2     /* offset of the version byte */

enum toa_kind {
	TOA_KIND_EOL = 0,
	TOA_KIND_NOP = 1,
	TOA_KIND_EXPERIMENT_1 = 253,
	TOA_KIND_EXPERIMENT_2 = 254
};

/* Which kind of segment an option list is from. */
enum toa_list_source {
	TOA_SOURCE_SEGMENT = 0,
	TOA_SOURCE_SYN = 1,       /* only profiles with on_syn count */
	TOA_SOURCE_FAST_OPEN = 2, /* a SYN that creates the socket: all profiles count */
};

/* Which option counts if a list has several of one profile. */
enum toa_pick {
	TOA_PICK_NONE = 0, /* the first one; options that differ are a conflict */
	TOA_PICK_FIRST = 1,
	TOA_PICK_LAST = 2,
};

/* What asks for the client; a profile says which of these it answers. */
enum toa_use {
	TOA_USE_ALL = 0, /* records and counters: every profile */
	TOA_USE_SOCKOPT = 1,
	TOA_USE_PEERNAME = 2,
};

/* How the number of a virtual network is encoded. */
enum toa_vni {
	TOA_VNI_24 = 0,        /* 24 bits, big-endian, as VXLAN has it (RFC 7348, section 5) */
	TOA_VNI_32 = 1,        /* 32 bits, big-endian */
	TOA_VNI_32_LITTLE = 2, /* 32 bits, little-endian: the host order of VTOA's balancers */
};

/* How a vendor lays out the option. Offsets count from the kind byte; integers are big-endian. */
struct toa_profile {
	toa_u8 id; /* stable number of the profile, never 0 */
	toa_u8 kind;
	toa_u8 length;     /* of the whole option */
	toa_u8 family;     /* 4 or 6 */
	toa_u8 port_at;    /* TOA_ABSENT if the option carries none, as with all offsets below */
	toa_u8 address_at; /* TOA_ABSENT: it names only the virtual server, and no client */
	toa_u8 on_syn;     /* also looked for on the SYN */
	toa_u8 version;    /* required value of byte TOA_VERSION_AT; 0: any */
	toa_u8 priority;   /* options of a lower priority are ignored, without a conflict */
	toa_u8 pick;       /* enum toa_pick */
	toa_u8 uses;       /* TOA_USE_SOCKOPT | TOA_USE_PEERNAME */
	toa_u8 vip_at;     /* of the virtual server that the client connected to; same family */
	toa_u8 vport_at;   /* port of the virtual server */
	toa_u8 vni_at;     /* virtual network of the virtual server */
	toa_u8 vni_form;   /* enum toa_vni */
	toa_u8 reserved;
};

/*
 * The active profiles. slot[kind * 64 + length] is the index in profile[] of the profile with this
 * kind and length, or 0: one load decides for each option.
 */
struct toa_table {
	struct toa_profile profile[TOA_PROFILE_SLOTS];
	toa_u8 slot[256 * TOA_LIST_SIZE];
	/* by profile id */
	toa_u8 priority[TOA_PROFILE_SLOTS];
	toa_u8 pick[TOA_PROFILE_SLOTS];
	toa_u8 uses[TOA_PROFILE_SLOTS];
};

/* An option list and what was found in it. The caller fills bytes, length, source and use. */
struct toa_list {
	toa_u8 bytes[TOA_LIST_SIZE];
	volatile toa_u8 length; /* at most TOA_OPTIONS_MAX */
	volatile toa_u8 at;
	volatile toa_u8 matches;
	volatile toa_u8 chosen; /* index of the match that is the client */
	volatile toa_u8 malformed;
	volatile toa_u8 match_at[TOA_MATCHES_MAX];
	/* Where the last option that names a virtual server starts; TOA_LIST_MASK: nowhere. */
	volatile toa_u8 virtual_at;
	toa_u8 source; /* enum toa_list_source */
	toa_u8 use;    /* enum toa_use: only profiles that answer it count */
	/*
	 * The last option that no profile or standard defines; 0, 0: none. It is kept over all
	 * lists that are read into this struct.
	 */
	volatile toa_u8 unknown_kind;
	volatile toa_u8 unknown_length;
};

/*
 * A client's address, in the client's own family, whatever the family of the layout is. IPv4 is in
 * the first four bytes, and the rest is zero.
 */
struct toa_client {
	toa_u8 address[16];
	toa_u16 port;   /* host order; 0: the option carries none (no client has port 0) */
	toa_u8 family;  /* 4 or 6 */
	toa_u8 profile; /* id of the profile */
};

/* The address on the balancer that the client connected to. */
struct toa_virtual {
	toa_u8 address[16]; /* IPv4 in the first four bytes, the rest zero */
	toa_u16 port;       /* host order; 0: the option carries none */
	toa_u8 family;      /* 4 or 6; 0: no option names a virtual server */
	toa_u8 has_vni;
	toa_u32 vni;
};

enum toa_found {
	TOA_FOUND_NONE = 0,
	TOA_FOUND_ONE = 1,
	TOA_FOUND_CONFLICT = 2,  /* several that contradict one another; one is chosen */
	TOA_FOUND_MALFORMED = 3, /* no option of the list is used */
	TOA_FOUND_ON_SYN = 4,    /* only from toa_merge_found(): the option on the SYN has priority */
};

/*
 * Returns 1 for 0, and 0 for all other values below 2^31. A comparison would be a branch, and each
 * branch doubles the paths that the BPF verifier follows. The value is hidden from the compiler,
 * which would turn this into one.
 */
TOA_INLINE toa_u32 toa_is_zero(toa_u32 value)
{
	__asm__("" : "+r"(value));
	return (value - 1U) >> 31;
}

/*
 * Returns the index in profile[] for an option, or 0. Verifiers up to at least 6.1 lose the bounds
 * of an OR, so the compiler, which knows them, must not omit the mask after it.
 */
TOA_INLINE toa_u32 toa_slot(const struct toa_table *table, toa_u32 kind, toa_u32 length)
{
	toa_u32 index = kind << 6 | (length & TOA_LIST_MASK);

	__asm__("" : "+r"(index));
	return table->slot[index & 0x3fff] & (TOA_PROFILE_SLOTS - 1);
}

/*
 * Returns whether an option of this kind can be on any segment, whatever its sender. These are the
 * kinds of the IANA registry "TCP Option Kind Numbers" up to 34 (Fast Open), 69 (TCP-ENO), 172 and
 * 174 (AccECN). CDNs use 28 for themselves, in lengths that the User Timeout Option (RFC 5482) does
 * not have.
 */
TOA_INLINE int toa_is_standard(toa_u32 kind, toa_u32 length)
{
	return (kind <= 34 && (kind != 28 || length == 4)) || kind == 69 || kind == 172 || kind == 174;
}

/*
 * Returns whether the option that starts at byte `at` is an experiment of RFC 6994: all of them
 * have the kinds 253 and 254, and an identifier (ExID) where TOA has the port. From the IANA
 * registry "TCP/UDP Experimental Option Experiment Identifiers", only those count that occur on
 * SYNs with a length that TOA can have: TCP Fast Open (RFC 7413; cookies of 4 to 16 bytes, an even
 * number), TCP-ENO (RFC 8547) and HOST_ID (RFC 7974) of any length, Accurate ECN (0 to 3 counters
 * of 3 bytes), and SMC-R (RFC 7609), whose ExID has 32 bits and fills the option. On other
 * segments, a port is a port.
 */
TOA_INLINE toa_u32 toa_is_experiment(const struct toa_list *list, toa_u32 at)
{
	toa_u32 kind = list->bytes[at & TOA_LIST_MASK], length = list->bytes[(at + 1) & TOA_LIST_MASK];
	toa_u32 exid = list->bytes[(at + 2) & TOA_LIST_MASK] << 8 | list->bytes[(at + 3) & TOA_LIST_MASK];
	toa_u32 rest = list->bytes[(at + 4) & TOA_LIST_MASK] << 8 | list->bytes[(at + 5) & TOA_LIST_MASK];
	toa_u32 is_kind =
		toa_is_zero(kind ^ TOA_KIND_EXPERIMENT_1) | toa_is_zero(kind ^ TOA_KIND_EXPERIMENT_2);
	toa_u32 is_fast_open = toa_is_zero(exid ^ 0xf989);
	toa_u32 is_accecn =
		toa_is_zero(exid ^ 0xacc0) | toa_is_zero(exid ^ 0xacc1) | toa_is_zero(exid ^ 0xacce);
	toa_u32 is_smc = toa_is_zero(exid ^ 0xe2d4) & toa_is_zero(rest ^ 0xc3d9);
	toa_u32 is_any_length = toa_is_zero(exid ^ 0x454e) | toa_is_zero(exid ^ 0x0348);
	/* bit n: an option of n bytes; no experiment that has certain lengths is longer than 20 */
	toa_u32 lengths = is_fast_open * 0x155500U | is_accecn * 0x2480U | is_smc * 0x40U;
	toa_u32 is_short = toa_is_zero(length >> 5);

	return is_kind & (is_any_length | (lengths >> (length & 31) & is_short & 1));
}

/* Returns the index in profile[] of the profile for the option that starts at byte `at`, or 0. */
TOA_INLINE toa_u32 toa_match_profile(const struct toa_list *list, const struct toa_table *table, toa_u32 at,
				     toa_u32 kind, toa_u32 length)
{
	toa_u32 slot = toa_slot(table, kind, length);
	toa_u32 version = table->profile[slot].version;

	return !version || list->bytes[(at + TOA_VERSION_AT) & TOA_LIST_MASK] == version ? slot : 0;
}

/* Returns whether the profile counts in this list. */
TOA_INLINE toa_u32 toa_applies(const struct toa_list *list, const struct toa_profile *profile)
{
	toa_u32 not_on_syn = toa_is_zero((list->source ^ TOA_SOURCE_SYN) | profile->on_syn);

	return toa_is_zero(not_on_syn | (list->use & ~(toa_u32)profile->uses));
}

/* Walks the list and records where matching options start. */
TOA_INLINE void toa_scan(struct toa_list *list, const struct toa_table *table)
{
	toa_u32 step;

	list->at = 0;
	list->matches = 0;
	list->malformed = 0;

	/* every step consumes at least one byte */
	for (step = 0; step < TOA_OPTIONS_MAX; step++) {
		toa_u32 at = list->at & TOA_LIST_MASK;
		toa_u32 left = list->length;
		toa_u32 kind, length, count, slot;

		if (at >= left)
			return;
		left -= at;
		kind = list->bytes[at];
		if (kind == TOA_KIND_EOL)
			return;
		if (kind == TOA_KIND_NOP) {
			list->at = at + 1;
			continue;
		}
		length = left < 2 ? 0 : list->bytes[(at + 1) & TOA_LIST_MASK];
		if (length < 2 || length > left) {
			list->malformed = 1;
			return;
		}
		slot = toa_match_profile(list, table, at, kind, length);
		if (slot && toa_applies(list, &table->profile[slot])) {
			count = list->matches;
			list->match_at[count & (TOA_MATCHES_MAX - 1)] = at;
			list->matches = count + 1;
		} else if (!slot && !toa_is_standard(kind, length)) {
			list->unknown_kind = kind;
			list->unknown_length = length;
		}
		list->at = at + length;
	}
}

/*
 * An IPv4-mapped address (RFC 4291, section 2.5.5.2) in an IPv6 layout is an IPv4 address: it is
 * converted here, so that it is the same client in every layout. There are no branches, since each
 * would double the paths that the BPF verifier follows; the mask is hidden from the compiler, which
 * would make one.
 */
TOA_INLINE void toa_unmap(toa_u8 *address, toa_u8 *family)
{
	toa_u32 different = (address[10] ^ 0xffU) | (address[11] ^ 0xffU), mapped;
	int i;

#pragma GCC unroll 10
	for (i = 0; i < 10; i++)
		different |= address[i];
	/* all ones if nothing differs; an IPv4 layout has zeros in bytes 10 and 11 */
	mapped = 0U - ((different - 1U) >> 31);
	__asm__("" : "+r"(mapped));
#pragma GCC unroll 4
	for (i = 0; i < 4; i++) {
		address[i] |= address[12 + i] & mapped;
		address[12 + i] &= ~mapped;
	}
	address[10] &= ~mapped;
	address[11] &= ~mapped;
	*family -= 2 & mapped;
}

/*
 * Returns a mask for bytes 4 to 15 of an address and for their offsets: IPv4 has no such bytes, and
 * they can be past the end of the list. The mask is hidden from the compiler, which would make a
 * branch of it.
 */
TOA_INLINE toa_u32 toa_address_rest(toa_u32 family)
{
	toa_u32 mask = toa_is_zero(family ^ 6) * 0xff;

	__asm__("" : "+r"(mask));
	return mask;
}

/* Reads the matching option that starts at byte `at`. */
TOA_INLINE void toa_read_client(const struct toa_list *list, const struct toa_table *table, toa_u32 at,
				struct toa_client *client)
{
	toa_u32 kind = list->bytes[at & TOA_LIST_MASK];
	toa_u32 length = list->bytes[(at + 1) & TOA_LIST_MASK];
	const struct toa_profile *profile = &table->profile[toa_slot(table, kind, length)];
	toa_u32 address_at = at + profile->address_at;
	toa_u32 port_at = at + profile->port_at;
	toa_u32 rest = toa_address_rest(profile->family);
	int i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++)
		client->address[i] = list->bytes[(address_at + i) & TOA_LIST_MASK];
#pragma GCC unroll 12
	for (i = 4; i < 16; i++)
		client->address[i] = list->bytes[(address_at + (i & rest)) & TOA_LIST_MASK] & rest;
	client->port = profile->port_at == TOA_ABSENT ? 0 :
							list->bytes[port_at & TOA_LIST_MASK] << 8 |
								list->bytes[(port_at + 1) & TOA_LIST_MASK];
	client->family = profile->family;
	client->profile = profile->id;
	/* keeps the client in memory: copies of its bytes would not fit on a BPF program's stack */
	__asm__ volatile("" : : "r"(client) : "memory");
	toa_unmap(client->address, &client->family);
	__asm__ volatile("" : : "r"(client) : "memory");
}

/*
 * Returns whether neither client contradicts the other: if one has no port, or port 0, which no
 * client has, only the address counts. There are no branches, since each would double the paths
 * that the BPF verifier follows.
 */
TOA_INLINE toa_u32 toa_same_client(const struct toa_client *a, const struct toa_client *b)
{
	/* bit 16 of a sum is set if there is a port */
	toa_u32 both = ((a->port + 0xffffU) & (b->port + 0xffffU)) >> 16;
	toa_u32 different = (a->port ^ b->port) * both | (a->family ^ b->family);
	int i;

#pragma GCC unroll 16
	for (i = 0; i < 16; i++)
		different |= a->address[i] ^ b->address[i];
	return toa_is_zero(different);
}

/* Returns the index in profile[] of a match's profile. */
TOA_INLINE toa_u32 toa_match_slot(const struct toa_list *list, const struct toa_table *table, toa_u32 match)
{
	toa_u32 at = list->match_at[match & (TOA_MATCHES_MAX - 1)];

	return toa_slot(table, list->bytes[at & TOA_LIST_MASK], list->bytes[(at + 1) & TOA_LIST_MASK]);
}

/*
 * Keeps the matches that name a client, and records the last one that names a virtual server; a
 * SYN's experiments are neither. This is not done in toa_scan(), where the BPF verifier would
 * follow it for each byte of the list. Until toa_choose(), `chosen` counts the matches kept so far.
 */
TOA_INLINE void toa_sort_matches(struct toa_list *list, const struct toa_table *table)
{
	toa_u32 i;

	list->chosen = 0;
	list->virtual_at = TOA_LIST_MASK;
	for (i = 0; i < TOA_MATCHES_MAX; i++) {
		toa_u32 kept = list->chosen, at, slot, is_experiment, not_virtual;

		if (i >= list->matches)
			break;
		at = list->match_at[i] & TOA_LIST_MASK;
		slot = toa_match_slot(list, table, i);
		is_experiment = (1U ^ toa_is_zero(list->source)) & toa_is_experiment(list, at);
		/* all ones if it names no virtual server */
		not_virtual = 0U - (toa_is_zero(table->profile[slot].vip_at) | is_experiment);
		list->virtual_at = (list->virtual_at & not_virtual) | (at & ~not_virtual);
		list->match_at[kept & (TOA_MATCHES_MAX - 1)] = at;
		list->chosen = kept + 1 - (toa_is_zero(table->profile[slot].address_at) | is_experiment);
	}
	list->matches = list->chosen;
}

/* Chooses the client's match: the first of the highest priority, or what its profile picks. */
TOA_INLINE void toa_choose(struct toa_list *list, const struct toa_table *table)
{
	toa_u32 i;

	list->chosen = 0;
	for (i = 1; i < TOA_MATCHES_MAX; i++) {
		toa_u32 slot, best;

		if (i >= list->matches)
			break;
		slot = toa_match_slot(list, table, i);
		best = toa_match_slot(list, table, list->chosen);
		if (table->profile[slot].priority > table->profile[best].priority ||
		    (slot == best && table->profile[slot].pick == TOA_PICK_LAST))
			list->chosen = i;
	}
}

/*
 * Merges options of the same client (`same` is 1, not 0): the port of one fills in for the missing
 * port of the other.
 */
TOA_INLINE void toa_fill_port(struct toa_client *client, const struct toa_client *other, toa_u32 same)
{
	client->port |= other->port & (0U - (same & toa_is_zero(client->port)));
}

/*
 * Finds the client in the list. Fills client for TOA_FOUND_ONE and TOA_FOUND_CONFLICT. other is
 * room for comparisons; a caller with a small stack can keep it elsewhere.
 */
TOA_INLINE enum toa_found toa_find_client(struct toa_list *list, const struct toa_table *table,
					  struct toa_client *client, struct toa_client *other)
{
	toa_u32 conflict = 0, i;

	toa_scan(list, table);
	if (list->malformed)
		return TOA_FOUND_MALFORMED;
	toa_sort_matches(list, table);
	if (!list->matches)
		return TOA_FOUND_NONE;
	toa_choose(list, table);
	toa_read_client(list, table, list->match_at[list->chosen & (TOA_MATCHES_MAX - 1)], client);
	for (i = 0; i < TOA_MATCHES_MAX; i++) {
		toa_u32 slot, chosen, same, rival;

		if (i >= list->matches)
			break;
		slot = toa_match_slot(list, table, i);
		chosen = toa_match_slot(list, table, list->chosen);
		toa_read_client(list, table, list->match_at[i], other);
		same = toa_same_client(client, other);
		/* lower priorities are ignored, and so are others of a profile that picks one */
		rival = toa_is_zero(table->profile[slot].priority ^ table->profile[chosen].priority);
		toa_fill_port(client, other, same & rival);
		rival &= 1U ^ (toa_is_zero(slot ^ chosen) & ~toa_is_zero(table->profile[slot].pick));
		conflict |= rival & ~same & 1U;
	}
	return conflict ? TOA_FOUND_CONFLICT : TOA_FOUND_ONE;
}

/*
 * Reads the virtual server that the list names, after toa_find_client(): that of the chosen option,
 * otherwise that of the last option that names one. family 0: there is none.
 */
TOA_INLINE void toa_read_virtual(const struct toa_list *list, const struct toa_table *table,
				 struct toa_virtual *to)
{
	toa_u32 at = list->virtual_at, slot, vip_at, vport_at, vni_at, big, is_little, is_32;
	const struct toa_profile *profile;
	toa_u32 rest;
	int i;

	if (list->matches) {
		toa_u32 chosen_at = list->match_at[list->chosen & (TOA_MATCHES_MAX - 1)];

		slot = toa_slot(table, list->bytes[chosen_at & TOA_LIST_MASK],
				list->bytes[(chosen_at + 1) & TOA_LIST_MASK]);
		if (table->profile[slot].vip_at != TOA_ABSENT)
			at = chosen_at;
	}
	slot = at == TOA_LIST_MASK ? 0 :
				     toa_slot(table, list->bytes[at & TOA_LIST_MASK],
					      list->bytes[(at + 1) & TOA_LIST_MASK]);
	profile = &table->profile[slot];
	to->family = slot ? profile->family : 0;
	if (!slot)
		return;
	vip_at = at + profile->vip_at;
	vport_at = at + profile->vport_at;
	vni_at = at + profile->vni_at;
	rest = toa_address_rest(profile->family);
#pragma GCC unroll 4
	for (i = 0; i < 4; i++)
		to->address[i] = list->bytes[(vip_at + i) & TOA_LIST_MASK];
#pragma GCC unroll 12
	for (i = 4; i < 16; i++)
		to->address[i] = list->bytes[(vip_at + (i & rest)) & TOA_LIST_MASK] & rest;
	__asm__ volatile("" : : "r"(to) : "memory");
	toa_unmap(to->address, &to->family);
	to->port = profile->vport_at == TOA_ABSENT ? 0 :
						     list->bytes[vport_at & TOA_LIST_MASK] << 8 |
							     list->bytes[(vport_at + 1) & TOA_LIST_MASK];
	is_little = profile->vni_form == TOA_VNI_32_LITTLE;
	is_32 = profile->vni_form != TOA_VNI_24;
	big = (toa_u32)list->bytes[vni_at & TOA_LIST_MASK] << 24 |
	      list->bytes[(vni_at + 1) & TOA_LIST_MASK] << 16 |
	      list->bytes[(vni_at + 2) & TOA_LIST_MASK] << 8 |
	      list->bytes[(vni_at + 3 * is_32) & TOA_LIST_MASK];
	to->has_vni = profile->vni_at != TOA_ABSENT;
	to->vni = !to->has_vni ? 0 : is_little ? __builtin_bswap32(big) : is_32 ? big : big >> 8;
}

/* What results from an option on the SYN and one on a later segment. */
enum toa_merged {
	TOA_MERGED_SAME = 0,     /* both name the same client; later has the port if either has */
	TOA_MERGED_CONFLICT = 1, /* the later one counts; one of the same priority contradicts it */
	TOA_MERGED_LATER = 2,    /* only the later one counts */
	TOA_MERGED_SYN = 3,      /* only the one on the SYN counts */
};

TOA_INLINE enum toa_merged toa_merge_syn(const struct toa_table *table, const struct toa_client *on_syn,
					 struct toa_client *later)
{
	toa_u32 first = on_syn->profile & (TOA_PROFILE_SLOTS - 1),
		second = later->profile & (TOA_PROFILE_SLOTS - 1);

	if (table->priority[first] > table->priority[second])
		return TOA_MERGED_SYN;
	if (table->priority[first] < table->priority[second])
		return TOA_MERGED_LATER;
	if (!toa_same_client(later, on_syn))
		return first == second && table->pick[first] ? TOA_MERGED_LATER : TOA_MERGED_CONFLICT;
	toa_fill_port(later, on_syn, 1);
	return TOA_MERGED_SAME;
}

#endif
