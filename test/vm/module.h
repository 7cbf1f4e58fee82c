/* SPDX-License-Identifier: Apache-2.0 */
/* toa.ko for tests: loading, parameters, counters, and getsockopt() as applications call it. */
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

/* Both return 0 or -errno. */
int module_load(const char *file, const char *parameters);
int module_remove(const char *name);

/* Unloads toa. */
int module_unload(void);

/* Returns 0 or -errno. */
int parameter_write(const char *name, const char *value);

/* Returns the text without its newline; valid until the next call. */
const char *parameter_read(const char *name);

/* The value of a line of /proc/net/toa_counters; -1: there is no such line. */
long long counter(const char *name);

/* The sum over all CPUs of a row of /proc/net/toa_stats; -1: there is no such row. */
long long vendor_row(const char *name);

/* Objects of a slab cache that are in use; -1: there is no such cache. */
long long slab_objects(const char *cache);

/* family: AF_INET or AF_INET6; six_only is for AF_INET6. Returns the descriptor. */
int listen_on(int family, bool six_only, uint16_t *port);

/*
 * Calls getsockopt(TOA_SO_GET_LOOKUP). Returns 0 or -errno; text is `ADDRESS PORT`, IPv4 as
 * ::ffff:a.b.c.d.
 */
int get_client(int fd, char text[64]);

#endif
