/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts behind a TUN device without a kernel of their own: the test makes all of their segments. */
#ifndef TOASCOPE_TEST_VM_WIRE_H
#define TOASCOPE_TEST_VM_WIRE_H

#include <stddef.h>
#include <stdint.h>

enum wire_flag { FIN = 1, SYN = 2, RST = 4, PUSH = 8, ACK = 16 };

/* One end of a connection; the other end is this kernel. */
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

/* Creates the device in the network namespace of the caller. Returns its descriptor. */
int wire_open(const char *name);

/* A host that no connection has used before, for a connection to this port of the server. */
struct host wire_host(int family, uint16_t to);

/* As wire_host(), with this address of the host; NULL: any. */
struct host wire_host_at(int family, const char *address, uint16_t to);

struct options hex_options(const char *hex);
extern const struct options no_options;

void wire_send(int wire, struct host *host, int flags, struct options options, const char *data);

/* Sends a SYN, and waits for the SYN-ACK. Returns 0 if it arrived, otherwise -1. */
int wire_syn(int wire, struct host *host, struct options on_syn);

/* As wire_syn(), with data on the SYN (Fast Open). */
int wire_syn_data(int wire, struct host *host, struct options on_syn, const char *data);

/* Makes the whole handshake. Returns 0 if it succeeded, otherwise -1. */
int wire_connect(int wire, struct host *host, struct options on_syn, struct options on_ack);

#endif
