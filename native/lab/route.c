/* SPDX-License-Identifier: Apache-2.0 */
/* Parses the gateway's routes and its pool of source addresses. */
#include "route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_segments(char *text, uint8_t *segments)
{
	char *rest = NULL;

	*segments = 0;
	for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		if (strcmp(word, "ack") == 0)
			*segments |= TOA_LAB_ON_ACK;
		else if (strcmp(word, "data") == 0)
			*segments |= TOA_LAB_ON_DATA;
		else
			return -EINVAL;
	}
	return *segments ? 0 : -EINVAL;
}

static int parse_option(char **rest, struct route *route)
{
	const char *name = strsep(rest, ":");

	if (strcmp(name, "none") == 0) {
		route->option = OPTION_NONE;
		return 0;
	}
	if (strcmp(name, "hex") == 0) {
		route->option = OPTION_RAW;
		return *rest ? toa_lab_encode_hex(strsep(rest, ":"), &route->raw) : -EINVAL;
	}
	route->option = OPTION_PROFILE;
	return toa_lab_profile(name, &route->profile);
}

int route_parse(const char *text, struct route *route)
{
	char copy[160];
	char *rest = copy;
	int used = 0;

	memset(route, 0, sizeof(*route));
	route->segments = TOA_LAB_ON_ALL;
	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	if (sscanf(text, "%5hu:%5hu:%n", &route->listen_port, &route->backend_port, &used) != 2 || !used ||
	    !route->listen_port || !route->backend_port)
		return -EINVAL;
	strcpy(copy, text + used);
	if (parse_option(&rest, route))
		return -EINVAL;
	return rest ? parse_segments(rest, &route->segments) : 0;
}

bool route_option(const struct route *route, const struct in6_addr *client, uint16_t port,
		  struct toa_lab_option *option)
{
	if (route->option == OPTION_NONE)
		return false;
	if (route->option == OPTION_RAW)
		*option = route->raw;
	else
		toa_lab_encode(route->profile, client, port, option);
	option->segments = route->segments;
	return true;
}

int pool_parse(const char *text, struct pool *pool)
{
	char address[INET_ADDRSTRLEN];
	struct in_addr network;
	unsigned int length;
	char end;

	if (sscanf(text, "%15[0-9.]/%2u%c", address, &length, &end) != 2 || length < 16 || length > 32 ||
	    inet_pton(AF_INET, address, &network) != 1)
		return -EINVAL;
	pool->size = 1U << (32 - length);
	pool->first = ntohl(network.s_addr) & ~(pool->size - 1);
	pool->next = 0;
	return 0;
}

struct in_addr pool_next(struct pool *pool)
{
	struct in_addr address = { .s_addr = htonl(pool->first + pool->next) };

	pool->next = (pool->next + 1) % pool->size;
	return address;
}
