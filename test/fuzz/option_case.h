/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input of both parsers, which is an option list with the active profiles, and their result.
 * Nothing here comes from kernel/toa_option.h.
 */
#ifndef TOASCOPE_FUZZ_OPTION_CASE_H
#define TOASCOPE_FUZZ_OPTION_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_MAX 40
#define LAYOUTS_MAX 16
#define TOA_PROFILE(...) +1
enum {
	BUILT_IN = 0
#include "../../kernel/toa_profiles.def"
};
#undef TOA_PROFILE
#define BUILT_IN_FIRST \
	7 /* ids 1 to 7; custom profiles count from FIRST_CUSTOM_ID, other built-in ones follow them */
#define FIRST_CUSTOM_ID (BUILT_IN_FIRST + 1)

/* A profile, as in daemon/config/profile.ts. */
struct layout {
	uint8_t id;
	uint8_t kind;
	uint8_t length;
	uint8_t family;     /* 4 or 6 */
	int16_t port_at;    /* -1: the option carries no port */
	uint8_t address_at; /* 0: the option names only the virtual server */
	bool on_syn;        /* also read on the SYN */
	uint8_t version;    /* required value of byte 2; 0: any */
	uint8_t priority;
	uint8_t pick; /* 0: options that differ are a conflict; 1: the first counts; 2: the last counts */
	/* fields of the virtual server; 0: the option has no such field */
	uint8_t vip_at;
	uint8_t vport_at;
	uint8_t vni_at;
	uint8_t vni_form; /* 0: 24 bits, 1: 32, both big-endian; 2: 32, little-endian */
};

/* The segment that carries the list. */
enum toa_segment { SEGMENT_OTHER, TOA_SEGMENT_SYN, SEGMENT_FASTOPEN /* a SYN that made the socket */ };

struct option_case {
	struct layout layouts[LAYOUTS_MAX];
	unsigned layout_count;
	enum toa_segment segment;
	uint8_t bytes[OPTIONS_MAX];
	unsigned size;
};

enum toa_verdict { TOA_VERDICT_NONE, TOA_VERDICT_MALFORMED, VERDICT_ONE, TOA_VERDICT_CONFLICT };

/* The address to which the client connected. */
struct virtual_server {
	uint8_t family; /* 0: no option names one, or the list is malformed */
	uint16_t port;  /* host order; 0: none */
	uint8_t address[16];
	bool has_vni;
	uint32_t vni;
};

/* id to address are zero unless the verdict is VERDICT_ONE or TOA_VERDICT_CONFLICT. */
struct parse_result {
	enum toa_verdict verdict;
	uint8_t id;
	uint8_t family;
	uint16_t port; /* host order; 0: the profile has none */
	uint8_t address[16];
	/* the last option of no profile and no standard; 0, 0: none, or the list is malformed */
	uint8_t unknown_kind;
	uint8_t unknown_length;
	struct virtual_server virtual_server;
};

extern const struct layout built_in_layouts[BUILT_IN];

/* Whether the configuration allows a profile of this kind. */
bool kind_allowed(uint8_t kind);

/*
 * Adds a profile if the configuration would: its fields are within bounds, its kind is not one of
 * TCP's own, and no other profile has its kind and length.
 */
bool add_layout(struct option_case *tc, struct layout layout);

/* Adds nat64 if there is no profile, since the configuration allows no empty list of profiles. */
void ensure_layout(struct option_case *tc);

/*
 * Decodes a fuzzer's input. Bytes 0 and 1: a bit for each built-in profile, the lowest first; the
 * two highest bits of byte 1 are the segment. Byte 2: the number of custom profiles, followed by 9
 * bytes for each: kind, length, family (bit 7: on_syn, bits 4 and 5: vni_form), port_at (255:
 * none), address_at, priority (bits 6 and 7: pick), vip_at, vport_at, vni_at. The rest is the list.
 * Invalid profiles are left out.
 */
_Static_assert(BUILT_IN <= 14, "decode_case() has a bit for each built-in profile");
void decode_case(struct option_case *tc, const uint8_t *input, size_t size);

/* Reads "fd14..." to at most OPTIONS_MAX bytes, up to the first character that is not hex. */
void read_list(struct option_case *tc, const char *hex);

/*
 * Write and read a profile, whose PORT_AT is 255 if the option carries no port:
 * ID:KIND:LENGTH:FAMILY:PORT_AT:ADDRESS_AT:ON_SYN:VERSION:PRIORITY:PICK:VIP_AT:VPORT_AT:VNI_AT:VNI_FORM
 */
int write_layout(char *to, size_t room, const struct layout *layout);
bool read_layout(struct layout *layout, const char *text);

/*
 * Writes "none", "malformed", "one ID FAMILY PORT ADDRESS" with 16 bytes in hex, or "conflict" with
 * the same fields. If there is a virtual server, " vip FAMILY PORT VNI ADDRESS" follows, with "-"
 * for no VNI.
 */
int write_result(char *to, size_t room, const struct parse_result *result);

#endif
