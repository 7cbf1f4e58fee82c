// SPDX-License-Identifier: Apache-2.0
/* Hand-hosts_made TCP segments over a TUN device. */
#include "wire.h"
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HOSTS4 0xc6120000u /* 198.18.0.0/15 */
#define IP4_HEADER 20
#define IP6_HEADER 40
#define TCP_HEADER 20
#define PACKET_MAX 2048
#define ANSWER_MS 20000

const struct options no_options;

static uint32_t hosts_made;

int wire_open(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int wire = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	char command[512];

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (wire < 0 || ioctl(wire, TUNSETIFF, &request))
		err(1, "TUN device");
	snprintf(
		command, sizeof(command),
		"ip link set lo up && ip address add 192.0.2.1/32 dev %s && ip -6 address add 2001:db8:5::2/128 dev %s nodad && "
		"ip link set %s up && ip route add 198.18.0.0/15 dev %s && ip -6 route add 2001:db8:f::/64 dev %s",
		name, name, name, name, name);
	if (system(command))
		errx(1, "%s", command);
	return wire;
}

struct host wire_host_at(int family, const char *address, uint16_t to)
{
	uint32_t number = hosts_made++ + (uint32_t)getpid() * 4096;
	struct host host = {
		.family = family, .port = 1024 + number % 60000, .to = to, .sent = 1000 + number * 7919
	};
	uint32_t four = htonl(HOSTS4 + 1 + number % 131000);

	if (family == 4) {
		memcpy(host.address, &four, 4);
		inet_pton(AF_INET, "192.0.2.1", host.server);
	} else {
		inet_pton(AF_INET6, "2001:db8:f::1", host.address);
		memcpy(host.address + 12, &four, 4);
		inet_pton(AF_INET6, "2001:db8:5::2", host.server);
	}
	if (address)
		inet_pton(family == 4 ? AF_INET : AF_INET6, address, host.address);
	return host;
}

struct host wire_host(int family, uint16_t to)
{
	return wire_host_at(family, NULL, to);
}

struct options hex_options(const char *hex)
{
	size_t length = strlen(hex) / 2, padding = (4 - length % 4) % 4, i;
	struct options options = { .length = length + padding };

	memset(options.bytes, 1, padding);
	for (i = 0; i < length; i++)
		sscanf(hex + 2 * i, "%2hhx", &options.bytes[padding + i]);
	return options;
}

static uint32_t add_words(uint32_t sum, const uint8_t *bytes, size_t length)
{
	size_t i;

	for (i = 0; i + 1 < length; i += 2)
		sum += bytes[i] << 8 | bytes[i + 1];
	if (length % 2)
		sum += bytes[length - 1] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static void put16(uint8_t *to, uint16_t value)
{
	to[0] = value >> 8;
	to[1] = value;
}

static void put32(uint8_t *to, uint32_t value)
{
	put16(to, value >> 16);
	put16(to + 2, value);
}

static uint32_t get32(const uint8_t *from)
{
	return (uint32_t)from[0] << 24 | from[1] << 16 | from[2] << 8 | from[3];
}

static size_t put_ip(uint8_t *packet, const struct host *host, size_t tcp)
{
	if (host->family == 4) {
		packet[0] = 0x45;
		put16(packet + 2, IP4_HEADER + tcp);
		packet[8] = 64;
		packet[9] = 6;
		memcpy(packet + 12, host->address, 4);
		memcpy(packet + 16, host->server, 4);
		put16(packet + 10, fold(add_words(0, packet, IP4_HEADER)));
		return IP4_HEADER;
	}
	packet[0] = 0x60;
	put16(packet + 4, tcp);
	packet[6] = 6;
	packet[7] = 64;
	memcpy(packet + 8, host->address, 16);
	memcpy(packet + 24, host->server, 16);
	return IP6_HEADER;
}

void wire_send(int wire, struct host *host, int flags, struct options options, const char *data)
{
	size_t header = TCP_HEADER + options.length, payload = data ? strlen(data) : 0,
	       tcp = header + payload;
	size_t address = host->family == 4 ? 4 : 16;
	uint8_t packet[PACKET_MAX] = {}, *segment = packet + put_ip(packet, host, tcp);
	uint32_t sum;

	put16(segment, host->port);
	put16(segment + 2, host->to);
	put32(segment + 4, host->sent);
	put32(segment + 8, flags & ACK ? host->received : 0);
	segment[12] = header / 4 << 4;
	segment[13] = flags;
	put16(segment + 14, 65535);
	memcpy(segment + TCP_HEADER, options.bytes, options.length);
	if (payload)
		memcpy(segment + header, data, payload);
	sum = add_words(6 + tcp, host->address, address);
	sum = add_words(sum, host->server, address);
	put16(segment + 16, fold(add_words(sum, segment, tcp)));
	if (write(wire, packet, segment - packet + tcp) < 0)
		err(1, "writing a segment");
	host->sent += payload + !!(flags & SYN) + !!(flags & FIN);
}

/* Returns the TCP segment if the packet is for the host, otherwise NULL. */
static const uint8_t *segment_for(const struct host *host, const uint8_t *packet, size_t length)
{
	const uint8_t *segment = packet + (packet[0] >> 4 == 4 ? IP4_HEADER : IP6_HEADER);

	if (packet[0] >> 4 != host->family || packet + length < segment + TCP_HEADER ||
	    (segment[2] << 8 | segment[3]) != host->port || (segment[0] << 8 | segment[1]) != host->to)
		return NULL;
	return memcmp(host->family == 4 ? packet + 16 : packet + 24, host->address,
		      host->family == 4 ? 4 : 16) ?
		       NULL :
		       segment;
}

int wire_syn(int wire, struct host *host, struct options on_syn)
{
	return wire_syn_data(wire, host, on_syn, NULL);
}

int wire_syn_data(int wire, struct host *host, struct options on_syn, const char *data)
{
	struct pollfd ready = { .fd = wire, .events = POLLIN };

	wire_send(wire, host, SYN, on_syn, data);
	while (poll(&ready, 1, ANSWER_MS) == 1) {
		uint8_t packet[PACKET_MAX];
		ssize_t length = read(wire, packet, sizeof(packet));
		const uint8_t *segment = length > 0 ? segment_for(host, packet, length) : NULL;

		if (!segment)
			continue;
		if (segment[13] != (SYN | ACK))
			return -1;
		host->received = get32(segment + 4) + 1;
		return 0;
	}
	return -1;
}

int wire_connect(int wire, struct host *host, struct options on_syn, struct options on_ack)
{
	if (wire_syn(wire, host, on_syn))
		return -1;
	wire_send(wire, host, ACK, on_ack, NULL);
	return 0;
}
