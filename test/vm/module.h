/* SPDX-License-Identifier: Apache-2.0 */
/* What tests do with toa.ko: its parameters and counters, and what applications ask. */
#ifndef TOASCOPE_TEST_VM_MODULE_H
#define TOASCOPE_TEST_VM_MODULE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define TOA_SO_GET_LOOKUP 4096

struct toa_nat64_peer {
	struct in6_addr saddr;
	uint16_t sport;
	uint16_t padding;
};

/* 0, or -errno. */
int module_load(const char *file, const char *parameters);
int module_remove(const char *name);

/* toa. */
int module_unload(void);

/* 0, or -errno. */
int parameter_write(const char *name, const char *value);

/* Its text without the end of line; valid until the next call. */
const char *parameter_read(const char *name);

/* A line of /proc/net/toa_counters; -1: there is none. */
long long counter(const char *name);

/* The sum over CPUs of a row of /proc/net/toa_stats; -1: there is none. */
long long vendor_row(const char *name);

/* Objects of a slab cache that are in use; -1: there is no such cache. */
long long slab_objects(const char *cache);

/* family: AF_INET or AF_INET6; six_only matters for AF_INET6. Returns the descriptor. */
int listen_on(int family, bool six_only, uint16_t *port);

/* 0, or -errno; text is `ADDRESS PORT`, IPv4 as ::ffff:a.b.c.d. */
int ask(int fd, char text[64]);

#endif
