/* SPDX-License-Identifier: Apache-2.0 */
/* Converts one TCP segment between a line of text and the packet that carries it. */
#ifndef TOASCOPE_LAB_SEGMENT_H
#define TOASCOPE_LAB_SEGMENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX 2048
#define SEGMENT_OPTIONS_MAX 40
#define SEGMENT_DATA_MAX 1400

/*
 * Ports and sequence numbers are in host order. An IPv4 address occupies the first four bytes of
 * its in6_addr.
 */
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
 * Parses FROM PORT TO PORT FLAGS SEQ ACK OPTIONS DATA: addresses of one family, flags as letters of
 * FSRPAU, options and data in hex, "-" for none. Options must fill whole 32-bit words: the caller
 * chooses the padding. Modifies the line.
 */
bool segment_parse(char *line, struct segment *segment);

/* Prints the segment as one line of JSON, with the length of the data instead of the data. */
void segment_print(const struct segment *segment);

/* Builds the packet, with its checksums. Returns its size. */
size_t segment_to_packet(const struct segment *segment, uint8_t packet[PACKET_MAX]);

/* Parses a packet, without its data. False: it carries no TCP, or is truncated. */
bool segment_from_packet(const uint8_t *packet, size_t size, struct segment *segment);

#endif
