// SPDX-License-Identifier: Apache-2.0
/*
 * For LD_PRELOAD: while the file that FAILING_THREADS names exists, pthread_create() fails with
 * EAGAIN, as at pids.max.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
		   void *argument)
{
	static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	const char *path = getenv("FAILING_THREADS");

	if (path && !access(path, F_OK))
		return EAGAIN;
	if (!next)
		next = dlsym(RTLD_NEXT, "pthread_create");
	return next(thread, attributes, start, argument);
}
