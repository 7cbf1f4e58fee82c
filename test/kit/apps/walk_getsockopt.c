/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls getsockopt() on sockets of all kinds, with each option of each level, with buffers of many
 * sizes: walk_getsockopt PORT4 PORT6. It prints {"ready":true}, accepts one connection on each
 * port, and then answers lines of input:
 *
 *	walk           makes all calls and keeps their results
 *	compare A B C  compares walk B (numbered from 0) with A and C, made before and after it
 *
 * What also differs between A and C changes by itself (times, counters) and is ignored, word by
 * word.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	FILL = 0xa5,
	GUARD = 64, /* bytes behind the length that the call gets */
	KEPT = 512, /* bytes of a result that are kept; the rest is hashed */
	ROOM_MAX = 65536,
	SOCKETS_MAX = 32,
	WATCHED = 4, /* the first sockets are on PORT4 and PORT6 */
	WALKS_MAX = 3,
	WHOLE_WORD = 3, /* index in sizes */
	OPTIONS = 140,
	IPPROTO_MPTCP_ = 262,
	SO_PEERPIDFD_ = 77,
};

/*
 * The levels of linux/socket.h: IP, SOCKET, TCP, UDP, IPV6, ICMPV6, RAW, PACKET, NETLINK, TLS,
 * MPTCP, VSOCK. The last two levels do not exist.
 */
static const int levels[] = { 0, 1, 6, 17, 41, 58, 255, 263, 270, 282, 284, 287, 4096, -1 };
static const int more_options[] = { 4095, 4096, 4097, 4098, 65536, -1 };
static const int sizes[] = { -1, 0, 1, 4, 19, 20, 64, 4095, 4096, 4097, 8192, ROOM_MAX };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct call {
	const char *socket;
	int level, option, size;
	int result, error, length;
	unsigned long long rest; /* a hash of the bytes that are not kept */
	unsigned char *kept;     /* NULL: the buffer is unchanged */
	size_t kept_size;
};

static struct {
	const char *name;
	int fd;
} sockets[SOCKETS_MAX];
static size_t socket_count;

static struct walk {
	struct call *calls;
	size_t count, answered, large;
} walks[WALKS_MAX];
static size_t walked;

static unsigned char untouched[ROOM_MAX + GUARD], buffer[ROOM_MAX + GUARD];

static void add(const char *name, int fd)
{
	/* sockets that this kernel does not have are left out */
	if (fd >= 0 && socket_count < SOCKETS_MAX) {
		sockets[socket_count].name = name;
		sockets[socket_count++].fd = fd;
	}
}

static int listen_on(int family, int protocol, int port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(family, SOCK_STREAM, protocol);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET ? bind(fd, (struct sockaddr *)&any, sizeof(any)) :
				bind(fd, (struct sockaddr *)&any6, sizeof(any6)))
		return -1;
	return listen(fd, 4) ? -1 : fd;
}

/* Adds both ends of a connection of this machine to itself. */
static void add_pair(const char *client_name, const char *server_name, int family, int type, int protocol)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof(address);
	int server = type == SOCK_STREAM ? listen_on(family, protocol, 0) : -1;
	int client = socket(family, type, protocol);

	if (server < 0 || getsockname(server, (struct sockaddr *)&address, &length) ||
	    connect(client, (struct sockaddr *)&address, length))
		return;
	add(client_name, client);
	add(server_name, accept(server, NULL, NULL));
}

static int with_filter(unsigned short count)
{
	struct sock_filter *code = calloc(count, sizeof(*code));
	struct sock_fprog program = { .len = count, .filter = code };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	for (int i = 0; i < count; i++)
		code[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0x40000 + i);
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		perror("SO_ATTACH_FILTER");
	free(code);
	return fd;
}

/* A Unix socket keeps the groups that its peer's process had. */
static int grouped(size_t count)
{
	gid_t *groups = calloc(count, sizeof(*groups));
	int pair[2] = { -1, -1 };

	for (size_t i = 0; i < count; i++)
		groups[i] = 100000 + i;
	if (setgroups(count, groups) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		perror("setgroups");
	free(groups);
	return pair[0];
}

/* Accepts a connection of the gateway, and waits for its data. */
static int accept_client(int listener)
{
	int fd = accept(listener, NULL, NULL);
	char byte;

	recv(fd, &byte, 1, MSG_PEEK);
	return fd;
}

static int in_netlink_group(int group)
{
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
		perror("NETLINK_ADD_MEMBERSHIP");
	return fd;
}

static void open_sockets(int listener4, int listener6)
{
	struct sockaddr_in loopback = { .sin_family = AF_INET,
					.sin_port = htons(9),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int pair[2], udp = socket(AF_INET, SOCK_DGRAM, 0);

	add("TCP, listening", listener4);
	add("TCP, listening dual-stack", listener6);
	add("TCP with TOA", accept_client(listener4));
	add("TCP dual-stack with TOA", accept_client(listener6));
	add("TCP, new", socket(AF_INET, SOCK_STREAM, 0));
	add("TCP over IPv6, new", socket(AF_INET6, SOCK_STREAM, 0));
	add_pair("TCP, connected", "TCP, accepted", AF_INET, SOCK_STREAM, 0);
	add_pair("TCP over IPv6, connected", "TCP over IPv6, accepted", AF_INET6, SOCK_STREAM, 0);
	add_pair("MPTCP, connected", "MPTCP, accepted", AF_INET, SOCK_STREAM, IPPROTO_MPTCP_);
	connect(udp, (struct sockaddr *)&loopback, sizeof(loopback));
	add("UDP, connected", udp);
	add("UDP over IPv6", socket(AF_INET6, SOCK_DGRAM, 0));
	add("UDP with a large filter", with_filter(1500));
	add("raw", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	add("raw over IPv6", socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
	add("packet", socket(AF_PACKET, SOCK_RAW, 0));
	add("netlink", in_netlink_group(1));
	add("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
	if (!socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		add("Unix stream", pair[0]);
	if (!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
		add("Unix datagram", pair[0]);
	add("Unix stream of a peer in many groups", grouped(3000));
}

static void keep(struct call *call, size_t room)
{
	call->kept_size = room < KEPT ? room : KEPT;
	call->kept = malloc(call->kept_size);
	memcpy(call->kept, buffer, call->kept_size);
	/* FNV-1a */
	call->rest = 0xcbf29ce484222325ULL;
	for (size_t i = call->kept_size; i < room; i++)
		call->rest = (call->rest ^ buffer[i]) * 0x100000001b3ULL;
}

static void make_call(struct walk *walk, size_t socket, int level, int option, int size)
{
	struct call *call = &walk->calls[walk->count++];
	size_t room = ((size < 0 ? 0 : size) + GUARD + 3) & ~3; /* whole words */
	socklen_t length = size;

	memcpy(buffer, untouched, room);
	errno = 0;
	*call = (struct call){
		.socket = sockets[socket].name, .level = level, .option = option, .size = size
	};
	call->result = getsockopt(sockets[socket].fd, level, option, buffer, &length);
	call->error = call->result ? errno : 0;
	call->length = length;
	walk->answered += !call->result;
	walk->large += !call->result && call->length > 4096;
	/* ignore option memory, which includes the state that a program keeps for a socket */
	if (!call->result && level == SOL_SOCKET && option == SO_MEMINFO && size >= 28)
		memset(buffer + 4 * SK_MEMINFO_OPTMEM, 0, 4);
	if (memcmp(buffer, untouched, room))
		keep(call, room);
	/* the result is a new descriptor */
	if (!call->result && level == SOL_SOCKET && option == SO_PEERPIDFD_ && size > 0)
		close(buffer[0]);
}

/*
 * Whether an option is left out: that of toascope, on the sockets that have it (TCP on a watched
 * port), and those of netfilter's tables, where the kernel would look for modules by the name in
 * the buffer.
 */
static int left_out(size_t socket, int level, int option)
{
	return (level == IPPROTO_IP && option == 4096 && socket < WATCHED) ||
	       ((level == IPPROTO_IP || level == IPPROTO_IPV6) &&
		((option >= 64 && option < 70) || (option >= 96 && option < 100) ||
		 (option >= 128 && option < 132)));
}

static void walk_option(struct walk *walk, size_t socket, int level, int option)
{
	if (left_out(socket, level, option))
		return;
	for (size_t i = 0; i < COUNT(sizes); i++)
		make_call(walk, socket, level, option, sizes[i]);
}

static void walk_all(void)
{
	struct walk *walk = &walks[walked++];
	size_t calls = socket_count * COUNT(levels) * (OPTIONS + COUNT(more_options)) * COUNT(sizes);

	walk->calls = calloc(calls, sizeof(struct call));
	for (size_t socket = 0; socket < socket_count; socket++) {
		for (size_t level = 0; level < COUNT(levels); level++) {
			for (int option = 0; option < OPTIONS; option++)
				walk_option(walk, socket, levels[level], option);
			for (size_t i = 0; i < COUNT(more_options); i++)
				walk_option(walk, socket, levels[level], more_options[i]);
		}
	}
	printf("{\"sockets\":%zu,\"calls\":%zu,\"answered\":%zu,\"large\":%zu}\n", socket_count, walk->count,
	       walk->answered, walk->large);
}

static uint32_t word_of(const struct call *call, size_t at)
{
	uint32_t word;

	memcpy(&word, call->kept ? call->kept + at : untouched, sizeof(word));
	return word;
}

static int same(const struct call *a, const struct call *b)
{
	if (a->result != b->result || a->error != b->error || a->length != b->length || a->rest != b->rest)
		return 0;
	if (!a->kept || !b->kept)
		return !a->kept && !b->kept;
	return memcmp(a->kept, b->kept, a->kept_size) == 0;
}

/* Whether `with` has everything that `before` and `after` have in common. */
static int common_kept(const struct call *before, const struct call *with, const struct call *after)
{
	size_t size = before->kept_size > after->kept_size ? before->kept_size : after->kept_size;

	if ((before->result == after->result && with->result != before->result) ||
	    (before->error == after->error && with->error != before->error) ||
	    (before->length == after->length && with->length != before->length) ||
	    (before->rest == after->rest && with->rest != before->rest))
		return 0;
	for (size_t i = 0; i < size; i += 4) {
		if (word_of(before, i) == word_of(after, i) && word_of(with, i) != word_of(before, i))
			return 0;
	}
	return 1;
}

/*
 * Whether a difference is not caused by toascope. If any program is attached, the kernel refuses a
 * negative length, which IPv6 treats as a large one. If a program is attached that does not change
 * a length past the buffer, the kernel returns EFAULT: toascope corrects that.
 */
static int caused_by_others(const struct call *without, const struct call *with)
{
	if (with->size < 0 && with->result && with->error == EINVAL)
		return 1;
	return without->result && without->error == EFAULT && !with->result;
}

/*
 * A byte of a time is equal by chance once in 256 calls. If the buffer is smaller than a word, the
 * call with a whole word decides whether the value changes by itself.
 */
static int changes_within_word(const struct walk *one, const struct walk *other, size_t i)
{
	size_t whole = i - i % COUNT(sizes) + WHOLE_WORD;

	return one->calls[i].size > 0 && one->calls[i].size < 4 &&
	       word_of(&one->calls[whole], 0) != word_of(&other->calls[whole], 0);
}

static void compare(const struct walk *before, const struct walk *with, const struct walk *after)
{
	size_t differ = 0, unsteady = 0;
	char first[256] = "";

	for (size_t i = 0; i < with->count; i++) {
		const struct call *a = &before->calls[i], *b = &with->calls[i], *c = &after->calls[i];
		int steady = same(a, c);

		unsteady += !steady;
		if ((steady ? same(a, b) : common_kept(a, b, c)) || caused_by_others(a, b) ||
		    changes_within_word(before, after, i))
			continue;
		if (!differ++)
			snprintf(
				first, sizeof(first),
				"%s, level %d option %d size %d: %d errno %d length %d, before %d errno %d length %d",
				b->socket, b->level, b->option, b->size, b->result, b->error, b->length,
				a->result, a->error, a->length);
	}
	printf("{\"differ\":%zu,\"unsteady\":%zu,\"first\":\"%s\"}\n", differ, unsteady, first);
}

int main(int argc, char **argv)
{
	int listener4 = argc > 2 ? listen_on(AF_INET, 0, atoi(argv[1])) : -1;
	int listener6 = argc > 2 ? listen_on(AF_INET6, 0, atoi(argv[2])) : -1;
	unsigned int a, b, c;
	char line[32];

	if (listener4 < 0 || listener6 < 0) {
		perror("walk_getsockopt PORT4 PORT6");
		return 1;
	}
	memset(untouched, FILL, sizeof(untouched));
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("{\"ready\":true}");
	open_sockets(listener4, listener6);
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "walk\n") == 0 && walked < WALKS_MAX)
			walk_all();
		else if (sscanf(line, "compare %u %u %u", &a, &b, &c) == 3 && a < walked && b < walked &&
			 c < walked)
			compare(&walks[a], &walks[b], &walks[c]);
		else
			return 2;
	}
	return 0;
}
