/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts behind a TUN device that have no kernel: every TCP segment of theirs is the test's. */
#ifndef TOASCOPE_TEST_VM_WIRE_H
#define TOASCOPE_TEST_VM_WIRE_H

#include <stddef.h>
#include <stdint.h>

enum wire_flag { FIN = 1, SYN = 2, RST = 4, PUSH = 8, ACK = 16 };

/* One end of a connection; the other is this kernel's. */
struct host {
	int family; /* 4 or 6 */
	uint8_t address[16], server[16];
	uint16_t port, to;
	uint32_t sent, received; /* next numbers to send, and to acknowledge */
};

/* Option lists are padded with NOPs in front, where they change nothing. */
struct options {
	size_t length;
	uint8_t bytes[40];
};

/* Makes the device in the network namespace of the caller. Returns its descriptor. */
int wire_open(const char *name);

/* A host that no connection had before, which is to connect to the server's port. */
struct host wire_host(int family, uint16_t to);

/* The same, with an address of the host's own; NULL: any. */
struct host wire_host_at(int family, const char *address, uint16_t to);

struct options hex_options(const char *hex);
extern const struct options no_options;

void wire_send(int wire, struct host *host, int flags, struct options options, const char *data);

/* SYN, and waits for the SYN-ACK. 0: it came. */
int wire_syn(int wire, struct host *host, struct options on_syn);

/* The same with data on the SYN, by Fast Open. */
int wire_syn_data(int wire, struct host *host, struct options on_syn, const char *data);

/* The whole handshake. 0: done. */
int wire_connect(int wire, struct host *host, struct options on_syn, struct options on_ack);

#endif
