/* SPDX-License-Identifier: Apache-2.0 */
/* Builds and parses TCP segments: RFC 9293 section 3.1, in the headers of RFC 791 and RFC 8200. */
#include "segment.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOPS 64
#define WINDOW 65535
#define WORD 4

static const char flag_letters[] = "FSRPAU";

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the number of bytes, or -1. */
static int parse_hex(const char *text, uint8_t *bytes, size_t room)
{
	size_t length = strlen(text) / 2;

	if (strcmp(text, "-") == 0)
		return 0;
	if (strlen(text) % 2 || length > room)
		return -1;
	for (size_t i = 0; i < length; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -1;
		bytes[i] = high << 4 | low;
	}
	return length;
}

static int parse_flags(const char *text)
{
	int flags = 0;

	for (; *text && strcmp(text, "-"); text++) {
		const char *letter = strchr(flag_letters, *text);

		if (!letter)
			return -1;
		flags |= 1 << (letter - flag_letters);
	}
	return flags;
}

bool segment_parse(char *line, struct segment *segment)
{
	enum { FROM, FROM_PORT, TO, TO_PORT, FLAGS, SEQ, ACK, OPTIONS, DATA, FIELDS };
	char *field[FIELDS], *rest = line;
	int flags, options, data;

	for (int i = 0; i < FIELDS; i++) {
		field[i] = strsep(&rest, " ");
		if (!field[i])
			return false;
	}
	memset(segment, 0, offsetof(struct segment, options));
	segment->family = strchr(field[FROM], ':') ? AF_INET6 : AF_INET;
	flags = parse_flags(field[FLAGS]);
	options = parse_hex(field[OPTIONS], segment->options, sizeof(segment->options));
	data = parse_hex(field[DATA], segment->data, sizeof(segment->data));
	if (rest || inet_pton(segment->family, field[FROM], &segment->from) != 1 ||
	    inet_pton(segment->family, field[TO], &segment->to) != 1 || flags < 0 || options < 0 ||
	    options % WORD || data < 0)
		return false;
	segment->from_port = atoi(field[FROM_PORT]);
	segment->to_port = atoi(field[TO_PORT]);
	segment->flags = flags;
	segment->seq = strtoul(field[SEQ], NULL, 10);
	segment->ack = strtoul(field[ACK], NULL, 10);
	segment->options_length = options;
	segment->data_length = data;
	return true;
}

void segment_print(const struct segment *segment)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];

	inet_ntop(segment->family, &segment->from, from, sizeof(from));
	inet_ntop(segment->family, &segment->to, to, sizeof(to));
	printf("{\"from\":\"%s\",\"fromPort\":%u,\"to\":\"%s\",\"toPort\":%u,\"flags\":\"", from,
	       segment->from_port, to, segment->to_port);
	for (int i = 0; flag_letters[i]; i++) {
		if (segment->flags >> i & 1)
			putchar(flag_letters[i]);
	}
	printf("\",\"seq\":%u,\"ack\":%u,\"options\":\"", segment->seq, segment->ack);
	for (int i = 0; i < segment->options_length; i++)
		printf("%02x", segment->options[i]);
	printf("\",\"length\":%u}\n", segment->data_length);
}

/* RFC 1071. A sum can be continued only after an even number of bytes. */
static uint32_t add_words(uint32_t sum, const void *bytes, size_t length)
{
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? byte[i] : byte[i] << 8;
	return sum;
}

static uint16_t checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

static size_t address_size(const struct segment *segment)
{
	return segment->family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
}

static size_t write_ip(const struct segment *segment, size_t payload, uint8_t *packet)
{
	struct ip *ip = (struct ip *)packet;
	struct ip6_hdr *ip6 = (struct ip6_hdr *)packet;

	if (segment->family == AF_INET6) {
		*ip6 = (struct ip6_hdr){ .ip6_src = segment->from, .ip6_dst = segment->to };
		ip6->ip6_flow = htonl(6 << 28);
		ip6->ip6_plen = htons(payload);
		ip6->ip6_nxt = IPPROTO_TCP;
		ip6->ip6_hlim = HOPS;
		return sizeof(*ip6);
	}
	*ip = (struct ip){ .ip_v = 4, .ip_hl = sizeof(*ip) / WORD, .ip_ttl = HOPS, .ip_p = IPPROTO_TCP };
	ip->ip_len = htons(sizeof(*ip) + payload);
	ip->ip_off = htons(IP_DF);
	memcpy(&ip->ip_src, &segment->from, sizeof(ip->ip_src));
	memcpy(&ip->ip_dst, &segment->to, sizeof(ip->ip_dst));
	ip->ip_sum = checksum(add_words(0, ip, sizeof(*ip)));
	return sizeof(*ip);
}

size_t segment_to_packet(const struct segment *segment, uint8_t packet[PACKET_MAX])
{
	size_t header = sizeof(struct tcphdr) + segment->options_length;
	size_t length = header + segment->data_length;
	size_t ip = write_ip(segment, length, packet);
	struct tcphdr *tcp = (struct tcphdr *)(packet + ip);
	uint32_t sum = IPPROTO_TCP + length;

	*tcp = (struct tcphdr){ .th_sport = htons(segment->from_port), .th_dport = htons(segment->to_port) };
	tcp->th_seq = htonl(segment->seq);
	tcp->th_ack = htonl(segment->ack);
	tcp->th_off = header / WORD;
	tcp->th_flags = segment->flags;
	tcp->th_win = htons(WINDOW);
	memcpy(tcp + 1, segment->options, segment->options_length);
	memcpy(packet + ip + header, segment->data, segment->data_length);
	sum = add_words(sum, &segment->from, address_size(segment));
	sum = add_words(sum, &segment->to, address_size(segment));
	tcp->th_sum = checksum(add_words(sum, tcp, length));
	return ip + length;
}

/*
 * Parses the IP header. Returns its size, or 0 if no TCP follows. Sets `size` to the length that
 * the packet states.
 */
static size_t parse_ip(const uint8_t *packet, size_t *size, struct segment *segment)
{
	const struct ip *ip = (const struct ip *)packet;
	const struct ip6_hdr *ip6 = (const struct ip6_hdr *)packet;

	if (*size >= sizeof(*ip) && ip->ip_v == 4 && ip->ip_p == IPPROTO_TCP && ntohs(ip->ip_len) <= *size) {
		segment->family = AF_INET;
		memcpy(&segment->from, &ip->ip_src, sizeof(ip->ip_src));
		memcpy(&segment->to, &ip->ip_dst, sizeof(ip->ip_dst));
		*size = ntohs(ip->ip_len);
		return ip->ip_hl * WORD;
	}
	if (*size >= sizeof(*ip6) && ip->ip_v == 6 && ip6->ip6_nxt == IPPROTO_TCP &&
	    sizeof(*ip6) + ntohs(ip6->ip6_plen) <= *size) {
		segment->family = AF_INET6;
		segment->from = ip6->ip6_src;
		segment->to = ip6->ip6_dst;
		*size = sizeof(*ip6) + ntohs(ip6->ip6_plen);
		return sizeof(*ip6);
	}
	return 0;
}

bool segment_from_packet(const uint8_t *packet, size_t size, struct segment *segment)
{
	size_t ip = parse_ip(packet, &size, segment);
	const struct tcphdr *tcp = (const struct tcphdr *)(packet + ip);
	size_t header;

	if (!ip || ip + sizeof(*tcp) > size)
		return false;
	header = tcp->th_off * WORD;
	if (header < sizeof(*tcp) || ip + header > size)
		return false;
	segment->from_port = ntohs(tcp->th_sport);
	segment->to_port = ntohs(tcp->th_dport);
	segment->seq = ntohl(tcp->th_seq);
	segment->ack = ntohl(tcp->th_ack);
	segment->flags = tcp->th_flags;
	segment->options_length = header - sizeof(*tcp);
	segment->data_length = size - ip - header;
	memcpy(segment->options, tcp + 1, segment->options_length);
	return true;
}
