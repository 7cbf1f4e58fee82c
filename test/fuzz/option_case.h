/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzzers hand to both readings of an option list: the list and the active profiles;
 * and what a reading gives back. Nothing here comes from kernel/toa_option.h.
 */
#ifndef TOASCOPE_FUZZ_OPTION_CASE_H
#define TOASCOPE_FUZZ_OPTION_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_MAX 40
#define LAYOUTS_MAX 16
#define BUILT_IN 10
#define BUILT_IN_FIRST \
	7 /* ids 1 to 7; own ones count from FIRST_OWN_ID, the other built-in ones stand behind those */
#define FIRST_OWN_ID (BUILT_IN_FIRST + 1)

/* A profile, as daemon/config/profiles.ts has it. */
struct layout {
	uint8_t id;
	uint8_t kind;
	uint8_t length;
	uint8_t family;     /* 4 or 6 */
	int16_t port_at;    /* -1: the option carries no port */
	uint8_t address_at; /* 0: it names the virtual server alone */
	bool on_syn;        /* looked for on the SYN as well */
	uint8_t version;    /* what byte 2 must be; 0: any */
	uint8_t priority;
	uint8_t pick; /* 0: several that differ are a conflict; 1: the first counts, 2: the last does */
	/* of the virtual server, 0: the option has no such field */
	uint8_t vip_at;
	uint8_t vport_at;
	uint8_t vni_at;
	uint8_t vni_form; /* 0: 24 bits, 1: 32, both big-endian; 2: 32, little-endian */
};

/* Whose list it is. */
enum segment { SEGMENT_OTHER, SEGMENT_SYN, SEGMENT_FASTOPEN /* a SYN that made the socket */ };

struct option_case {
	struct layout layouts[LAYOUTS_MAX];
	unsigned layout_count;
	enum segment segment;
	uint8_t bytes[OPTIONS_MAX];
	unsigned size;
};

enum verdict { VERDICT_NONE, VERDICT_MALFORMED, VERDICT_ONE, VERDICT_CONFLICT };

/* The address that the client called. */
struct virtual_server {
	uint8_t family; /* 0: no option names one, or the list is malformed */
	uint16_t port;  /* host order; 0: none */
	uint8_t address[16];
	bool has_vni;
	uint32_t vni;
};

/* id to address are zero unless the verdict is VERDICT_ONE or VERDICT_CONFLICT. */
struct reading {
	enum verdict verdict;
	uint8_t id;
	uint8_t family;
	uint16_t port; /* host order; 0 where the profile has none */
	uint8_t address[16];
	/* the last option that no profile takes and no standard names; 0, 0: none, or the list is malformed */
	uint8_t unknown_kind;
	uint8_t unknown_length;
	struct virtual_server virtual_server;
};

extern const struct layout built_in_layouts[BUILT_IN];

/* Whether the configuration lets a profile of this kind be. */
bool kind_allowed(uint8_t kind);

/* Adds a profile if the configuration would: within bounds, apart from TCP's own kinds, no pair taken twice. */
bool add_layout(struct option_case *on, struct layout layout);

/* The configuration knows no empty list of profiles: with none, nat64 is added. */
void ensure_layout(struct option_case *on);

/*
 * The case that a fuzzer's input stands for. Bytes 0 and 1: a bit for each built-in profile, the lowest
 * first; the two highest of byte 1 are the segment. Byte 2: how many own ones there are; then 9 bytes for
 * each: kind, length, family (bit 7: on_syn, bits 4 and 5: vni_form), port_at (255: none), address_at, priority (bits 6 and 7:
 * pick), vip_at, vport_at, vni_at.
 * The rest is the list. Profiles that cannot be are left out.
 */
void decode_case(struct option_case *on, const uint8_t *input, size_t size);

/* "fd14..." to at most OPTIONS_MAX bytes; ends at the first that is no hex. */
void read_list(struct option_case *on, const char *hex);

/* Writes ID:KIND:LENGTH:FAMILY:PORT_AT:ADDRESS_AT:ON_SYN:VERSION:PRIORITY:PICK:VIP_AT:VPORT_AT:VNI_AT:VNI_FORM (PORT_AT 255: none), and reads it. */
int write_layout(char *to, size_t room, const struct layout *layout);
bool read_layout(struct layout *layout, const char *text);

/*
 * "none", "malformed", or "one ID FAMILY PORT ADDRESS" with 16 bytes in hex, or "conflict ..." alike; behind it, where there is
 * one, " vip FAMILY PORT VNI ADDRESS" with "-" for no VNI.
 */
int write_reading(char *to, size_t room, const struct reading *reading);

#endif
