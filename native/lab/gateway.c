/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toascope-gateway: the lab's NAT64. It terminates TCP connections to 64:ff9b::/96 and connects to
 * the IPv4 backend in the last 32 bits of the address, from an address of its pool. The client's
 * address is written into the TCP header as a TOA option.
 *
 * Prints {"ready":true} when it listens, and its totals as JSON when it ends: at the end of
 * standard input (its parent has exited), or at SIGTERM or SIGINT.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy.h"

#define ROUTES_MAX 64
#define BACKLOG 4096
#define EVENTS_AT_ONCE 512

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct arguments {
	const char *cgroup;
	const char *backend_netns;
	struct pool pool;
	struct listener listeners[ROUTES_MAX];
	int count;
};

static const char usage[] =
	"usage: toascope-gateway --pool A.B.C.D/LEN --route LISTENPORT:BACKENDPORT:PROFILE[:SEGMENTS]...\n"
	"                        [--cgroup DIR] [--backend-netns FILE]\n"
	"  PROFILE   nat64, toa6, toa4 (the client's IPv4 address is the last 4 bytes of its\n"
	"            IPv6 address), none, or hex:BYTES (the options as they are)\n"
	"  SEGMENTS  ack, data or ack,data (default): segments without payload, with payload\n"
	"  --cgroup  cgroup v2 directory that this process is in (default: the root)\n"
	"  --backend-netns  network namespace of the backend (default: this one)\n"
	"It stops at the end of standard input, which must be a pipe, a socket or a terminal.\n";

static bool parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	static const struct option known[] = {
		{ "backend-netns", required_argument, NULL, 'b' },
		{ "cgroup", required_argument, NULL, 'c' },
		{ "pool", required_argument, NULL, 'p' },
		{ "route", required_argument, NULL, 'r' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'c') {
			arguments->cgroup = optarg;
		} else if (option == 'b') {
			arguments->backend_netns = optarg;
		} else if (option == 'p') {
			if (pool_parse(optarg, &arguments->pool)) {
				fprintf(stderr, "--pool %s: not an IPv4 network of /16 to /32\n", optarg);
				return false;
			}
		} else if (option == 'r') {
			if (arguments->count == ROUTES_MAX ||
			    route_parse(optarg, &arguments->listeners[arguments->count].route)) {
				fprintf(stderr, "--route %s: invalid, or more than %d routes\n", optarg,
					ROUTES_MAX);
				return false;
			}
			arguments->count++;
		} else {
			return false;
		}
	}
	return optind == argc && arguments->pool.size && arguments->count;
}

static bool watch(int epoll, int fd, struct watch *watch)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = watch };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool open_listener(int epoll, struct listener *listener)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6,
					.sin6_port = htons(listener->route.listen_port) };
	int on = 1;

	listener->watch.kind = WATCH_LISTENER;
	listener->fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd >= 0 && !setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) &&
	    !setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) &&
	    !bind(listener->fd, (struct sockaddr *)&address, sizeof(address)) &&
	    !listen(listener->fd, BACKLOG) && watch(epoll, listener->fd, &listener->watch))
		return true;
	fprintf(stderr, "port %u: %s\n", listener->route.listen_port, strerror(errno));
	return false;
}

/*
 * Returns a descriptor for SIGTERM and SIGINT. A peer that is gone causes an error of send(), not a
 * signal.
 */
static int open_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Input is ignored: only the end of standard input counts. */
static bool parent_has_exited(void)
{
	char ignored[256];

	return read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0;
}

static void serve(struct proxy *proxy, struct watch *parent, struct watch *stop)
{
	struct epoll_event events[EVENTS_AT_ONCE];

	for (;;) {
		int count = epoll_wait(proxy->epoll, events, EVENTS_AT_ONCE, -1);

		for (int i = 0; i < count; i++) {
			struct watch *watch = events[i].data.ptr;

			if (watch == stop || (watch == parent && parent_has_exited()))
				return;
			if (watch->kind == WATCH_LISTENER)
				proxy_accept(proxy, (struct listener *)watch);
			else if (watch->kind == WATCH_END)
				proxy_event(proxy, watch, events[i].events);
		}
		proxy_sweep(proxy);
	}
}

static void print_totals(const struct totals *totals)
{
	printf("{\"accepted\":%" PRIu64 ",\"connected\":%" PRIu64 ",\"failed\":%" PRIu64
	       ",\"finished\":%" PRIu64 ",\"aborted\":%" PRIu64 ",\"toBackendBytes\":%" PRIu64
	       ",\"toClientBytes\":%" PRIu64 "}\n",
	       totals->accepted, totals->connected, totals->failed, totals->finished, totals->aborted,
	       totals->to_backend_bytes, totals->to_client_bytes);
	fflush(stdout);
}

/*
 * Sockets stay in the namespace in which they were created: the listeners here, those to the
 * backend there.
 */
static bool enter_netns(const char *path)
{
	int fd;
	bool entered;

	if (!path)
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	entered = fd >= 0 && !setns(fd, CLONE_NEWNET);
	if (!entered)
		fprintf(stderr, "--backend-netns %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return entered;
}

static int run(struct arguments *arguments, const struct toa_lab *lab)
{
	struct watch parent = { WATCH_STOP };
	struct watch stop = { WATCH_STOP };
	struct proxy proxy = {
		.epoll = epoll_create1(EPOLL_CLOEXEC),
		.spare = open("/dev/null", O_RDONLY | O_CLOEXEC),
		.pool = arguments->pool,
		.lab = lab,
	};

	if (proxy.epoll < 0 || !watch(proxy.epoll, open_signals(), &stop) ||
	    !watch(proxy.epoll, STDIN_FILENO, &parent)) {
		fprintf(stderr, "cannot watch signals and standard input: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	for (int i = 0; i < arguments->count; i++) {
		if (!open_listener(proxy.epoll, &arguments->listeners[i]))
			return EXIT_FAILED;
	}
	if (!enter_netns(arguments->backend_netns))
		return EXIT_FAILED;
	printf("{\"ready\":true}\n");
	fflush(stdout);
	serve(&proxy, &parent, &stop);
	print_totals(&proxy.totals);
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	static struct arguments arguments;
	struct toa_lab lab;
	int error;
	int result;

	if (!parse_arguments(argc, argv, &arguments)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	error = toa_lab_open(&lab, arguments.cgroup);
	if (error) {
		fprintf(stderr, "cannot load or attach the program that writes TOA: %s\n", strerror(-error));
		return EXIT_FAILED;
	}
	result = run(&arguments, &lab);
	toa_lab_close(&lab);
	return result;
}
