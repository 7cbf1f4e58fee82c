/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toascope-getsockopt DIR: measures how long getsockopt() takes on sockets of different cgroups.
 * Attaches a program that does nothing to the getsockopt() hook of the cgroup DIR. Each line on
 * standard input is answered with JSON on standard output:
 *   socket NAME    accept a connection, which belongs to the cgroup that the process is in now
 *   round CALLS    make CALLS calls for each socket and option, and print nanoseconds per call; the
 *                  order of the sockets is reversed from round to round
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <bpf/bpf.h>

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define SOCKETS_MAX 8

static const struct option {
	const char *name;
	int level;
	int option;
	socklen_t length;
} options[] = {
	{ "so_error", SOL_SOCKET, SO_ERROR, sizeof(int) },
	{ "tcp_info", IPPROTO_TCP, TCP_INFO, sizeof(struct tcp_info) },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

struct socket {
	char name[32];
	int fd;
	double ns[OPTIONS];
};

/* return 1 */
static const struct bpf_insn nothing[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
	{ .code = BPF_JMP | BPF_EXIT },
};

/* The descriptors, and with them the link, stay open until the process ends. */
static bool attach_nothing(const char *directory)
{
	LIBBPF_OPTS(bpf_prog_load_opts, load, .expected_attach_type = BPF_CGROUP_GETSOCKOPT);
	int cgroup = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int program = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCKOPT, "empty", "GPL", nothing,
				    sizeof(nothing) / sizeof(nothing[0]), &load);

	return cgroup >= 0 && program >= 0 &&
	       bpf_link_create(program, cgroup, BPF_CGROUP_GETSOCKOPT, NULL) >= 0;
}

/* Connects to itself, and returns the server's end or -1. The client's end stays open. */
static int accept_one(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = -1;

	if (listener >= 0 && client >= 0 && !bind(listener, (struct sockaddr *)&address, length) &&
	    !listen(listener, 1) && !getsockname(listener, (struct sockaddr *)&address, &length) &&
	    !connect(client, (struct sockaddr *)&address, length))
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	return fd;
}

/*
 * Returns the nanoseconds of a call in CPU time of the thread, which excludes the time of other
 * tasks. The result is negative if a call failed.
 */
static double time_calls(int fd, const struct option *option, int calls)
{
	struct timespec began, ended;
	char value[512];

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began);
	for (int i = 0; i < calls; i++) {
		socklen_t length = option->length;

		if (getsockopt(fd, option->level, option->option, value, &length))
			return -1;
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended);
	return ((ended.tv_sec - began.tv_sec) * 1e9 + (ended.tv_nsec - began.tv_nsec)) / calls;
}

static bool run_round(struct socket *sockets, int count, int calls)
{
	static bool backwards;

	for (int i = 0; i < count; i++) {
		struct socket *socket = &sockets[backwards ? count - 1 - i : i];

		for (size_t option = 0; option < OPTIONS; option++) {
			socket->ns[option] = time_calls(socket->fd, &options[option], calls);
			if (socket->ns[option] < 0)
				return false;
		}
	}
	backwards = !backwards;
	for (int i = 0; i < count; i++) {
		printf("%s\"%s\":{", i ? "," : "{", sockets[i].name);
		for (size_t option = 0; option < OPTIONS; option++)
			printf("%s\"%s\":%.2f", option ? "," : "", options[option].name,
			       sockets[i].ns[option]);
		putchar('}');
	}
	puts("}");
	return true;
}

static bool execute(const char *line)
{
	static struct socket sockets[SOCKETS_MAX];
	static int count;
	int calls;

	if (count < SOCKETS_MAX && sscanf(line, "socket %31[a-z]", sockets[count].name) == 1) {
		sockets[count].fd = accept_one();
		if (sockets[count].fd < 0)
			return false;
		printf("{\"made\":\"%s\"}\n", sockets[count++].name);
	} else if (sscanf(line, "round %d", &calls) != 1 || calls < 1 || !run_round(sockets, count, calls)) {
		return false;
	}
	return !fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[128];

	if (argc != 2) {
		fputs("usage: toascope-getsockopt DIR\n", stderr);
		return EXIT_USAGE;
	}
	if (!attach_nothing(argv[1])) {
		fprintf(stderr, "cannot attach a program to %s: %s\n", argv[1], strerror(errno));
		return EXIT_FAILED;
	}
	puts("{\"ready\":true}");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!execute(line)) {
			fprintf(stderr, "%s: %s", strerror(errno), line);
			return EXIT_FAILED;
		}
	}
	return EXIT_DONE;
}
