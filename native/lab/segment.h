/* SPDX-License-Identifier: Apache-2.0 */
/* One TCP segment: as a line of text, and as the packet that carries it. */
#ifndef TOASCOPE_LAB_SEGMENT_H
#define TOASCOPE_LAB_SEGMENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX 2048
#define SEGMENT_OPTIONS_MAX 40
#define SEGMENT_DATA_MAX 1400

/* Ports and numbers in host order. An IPv4 address stands in the first four bytes of its in6_addr. */
struct segment {
	int family; /* AF_INET or AF_INET6, of both addresses */
	struct in6_addr from;
	struct in6_addr to;
	uint16_t from_port;
	uint16_t to_port;
	uint32_t seq;
	uint32_t ack;
	uint8_t flags; /* the header's low byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32 */
	uint8_t options_length;
	uint16_t data_length;
	uint8_t options[SEGMENT_OPTIONS_MAX];
	uint8_t data[SEGMENT_DATA_MAX];
};

/*
 * Reads FROM PORT TO PORT FLAGS SEQ ACK OPTIONS DATA: addresses of one family, flags as letters
 * of FSRPAU, options and data in hex, "-" for none of them. Options fill whole 32-bit words: what
 * pads them is the caller's to say. The line is taken apart.
 */
bool segment_parse(char *line, struct segment *segment);

/* Prints it as one line of JSON; of the data, its length. */
void segment_print(const struct segment *segment);

/* Makes the packet, checksums and all. Returns its size. */
size_t segment_to_packet(const struct segment *segment, uint8_t packet[PACKET_MAX]);

/* False: it carries no TCP, or is cut short. The data itself is left where it is. */
bool segment_from_packet(const uint8_t *packet, size_t size, struct segment *segment);

#endif
