// SPDX-License-Identifier: Apache-2.0
/*
 * For LD_PRELOAD: while the file that FAILING_BPF names exists, bpf(2) fails with ENOMEM for the
 * commands (enum bpf_cmd) whose numbers the file contains, separated by blanks. 24+2: the first two
 * calls while the file exists succeed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Calls of each command while the file existed. */
static long calls[256];

static int fails(long command)
{
	const char *path = getenv("FAILING_BPF");
	char text[256];
	char *rest = NULL;
	ssize_t length;
	int fd;

	if (!path)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length > 0 ? length : 0] = 0;
	for (char *word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
		char *first = strchr(word, '+');

		if (atol(word) == command)
			return __atomic_add_fetch(&calls[command], 1, __ATOMIC_RELAXED) >
			       (first ? atol(first) : 0);
	}
	return 0;
}

long syscall(long number, ...)
{
	static long (*next)(long, ...);
	va_list list;
	long arguments[6];

	if (!next)
		next = dlsym(RTLD_NEXT, "syscall");
	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf && fails(arguments[0])) {
		errno = ENOMEM;
		return -1;
	}
	return next(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
		    arguments[5]);
}
