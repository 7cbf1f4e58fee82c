// SPDX-License-Identifier: Apache-2.0
// Each object of the parser is allocated on the heap, so that sanitizers detect accesses beyond it.
#include <stdlib.h>
#include <string.h>

#include "toa_option.h"
#include "parser.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#define UNTOUCHED 0xa5

static struct {
	struct toa_table *table;
	struct toa_list *list;
	struct toa_client *client;
	struct toa_client *other;
	struct toa_virtual *server;
	struct layout layouts[LAYOUTS_MAX]; // those in the table
	unsigned layout_count;
} parser;

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		abort();
	return memory;
}

static void open_parser(void)
{
	parser.table = allocate(sizeof(*parser.table));
	parser.list = allocate(sizeof(*parser.list));
	parser.client = allocate(sizeof(*parser.client));
	parser.other = allocate(sizeof(*parser.other));
	parser.server = allocate(sizeof(*parser.server));
}

static toa_u8 *slot_of(const struct layout *layout)
{
	return &parser.table->slot[layout->kind * TOA_LIST_SIZE + layout->length];
}

static void use_layouts(const struct layout *layouts, unsigned count)
{
	if (count == parser.layout_count && memcmp(layouts, parser.layouts, count * sizeof(*layouts)) == 0)
		return;
	for (unsigned i = 0; i < parser.layout_count; i++)
		*slot_of(&parser.layouts[i]) = 0;
	for (unsigned i = 0; i < count; i++) {
		const struct layout *layout = &layouts[i];

		parser.table->profile[i + 1] = (struct toa_profile){
			.id = layout->id,
			.kind = layout->kind,
			.length = layout->length,
			.family = layout->family,
			.port_at = layout->port_at < 0 ? TOA_ABSENT : layout->port_at,
			.address_at = layout->address_at,
			.on_syn = layout->on_syn,
			.version = layout->version,
			.priority = layout->priority,
			.pick = layout->pick,
			.vip_at = layout->vip_at,
			.vport_at = layout->vport_at,
			.vni_at = layout->vni_at,
			.vni_form = layout->vni_form,
		};
		*slot_of(layout) = i + 1;
	}
	memcpy(parser.layouts, layouts, count * sizeof(*layouts));
	parser.layout_count = count;
}

/*
 * Fills the buffer after the list as an earlier list could have left it: with the start of an
 * option that matches a profile.
 */
static void fill_rest(uint8_t *rest, size_t size, const struct option_case *tc)
{
	memset(rest, 1, size);
	rest[0] = tc->layouts[0].kind;
	rest[1] = tc->layouts[0].length;
}

static bool untouched(const struct toa_client *client)
{
	const uint8_t *bytes = (const uint8_t *)client;

	for (size_t i = 0; i < sizeof(*client); i++)
		if (bytes[i] != UNTOUCHED)
			return false;
	return true;
}

static struct parse_result translate(enum toa_found found, const struct toa_list *list,
				     const struct toa_client *client)
{
	struct parse_result result = { .verdict = TOA_VERDICT_NONE,
				       .unknown_kind = list->unknown_kind,
				       .unknown_length = list->unknown_length };

	switch (found) {
	case TOA_FOUND_NONE:
		return result;
	case TOA_FOUND_MALFORMED:
		return (struct parse_result){ .verdict = TOA_VERDICT_MALFORMED };
	case TOA_FOUND_ONE:
		result.verdict = VERDICT_ONE;
		break;
	case TOA_FOUND_CONFLICT:
		result.verdict = TOA_VERDICT_CONFLICT;
		break;
	case TOA_FOUND_ON_SYN:
		abort(); // toa_find_client() does not return it
	}
	result.id = client->profile;
	result.family = client->family;
	result.port = client->port;
	memcpy(result.address, client->address, sizeof(result.address));
	return result;
}

static void copy_server(struct parse_result *result, const struct toa_virtual *server)
{
	struct virtual_server *to = &result->virtual_server;

	if (!server->family)
		return;
	to->family = server->family;
	to->port = server->port;
	to->has_vni = server->has_vni;
	to->vni = server->vni;
	memcpy(to->address, server->address, sizeof(to->address));
}

struct parse_result run_parser(const struct option_case *tc, const char **fault)
{
	uint8_t before[TOA_LIST_SIZE];
	struct parse_result result;
	struct toa_list *list;
	enum toa_found found;

	if (!parser.table)
		open_parser();
	use_layouts(tc->layouts, tc->layout_count);
	list = parser.list;
	memcpy(list->bytes, tc->bytes, tc->size);
	fill_rest(list->bytes + tc->size, sizeof(list->bytes) - tc->size, tc);
	memcpy(before, list->bytes, sizeof(before));
	list->length = tc->size;
	list->source = tc->segment;
	list->unknown_kind = 0;
	list->unknown_length = 0;
	memset(parser.client, UNTOUCHED, sizeof(*parser.client));

	ASAN_POISON_MEMORY_REGION(list->bytes + tc->size, sizeof(list->bytes) - tc->size);
	found = toa_find_client(list, parser.table, parser.client, parser.other);
	memset(parser.server, 0, sizeof(*parser.server));
	if (found != TOA_FOUND_MALFORMED)
		toa_read_virtual(list, parser.table, parser.server);
	ASAN_UNPOISON_MEMORY_REGION(list->bytes + tc->size, sizeof(list->bytes) - tc->size);

	result = translate(found, list, parser.client);
	copy_server(&result, parser.server);
	if (memcmp(before, list->bytes, sizeof(before)) != 0 || list->length != tc->size ||
	    list->source != tc->segment)
		*fault = "the parser changed the list";
	else if (result.verdict != VERDICT_ONE && result.verdict != TOA_VERDICT_CONFLICT &&
		 !untouched(parser.client))
		*fault = "the parser wrote a client although its verdict has none";
	else
		*fault = NULL;
	return result;
}
