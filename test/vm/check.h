/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of a test in a guest: prints a line for each check that fails, one for each test, and a
 * summary at the end.
 */
#ifndef TOASCOPE_TEST_VM_CHECK_H
#define TOASCOPE_TEST_VM_CHECK_H

#include <stdio.h>

extern int checks_failed;

#define CHECK(what, ...)                                                            \
	do {                                                                        \
		if (!(what)) {                                                      \
			checks_failed++;                                            \
			printf("  %s:%d: failed: %s: ", __FILE__, __LINE__, #what); \
			printf(__VA_ARGS__);                                        \
			printf("\n");                                               \
		}                                                                   \
	} while (0)

#define CHECK_EQ(actual, expected, ...)                                                                      \
	do {                                                                                                 \
		long long actual_ = (actual), expected_ = (expected);                                        \
		if (actual_ != expected_) {                                                                  \
			checks_failed++;                                                                     \
			printf("  %s:%d: %s is %lld, expected %lld: ", __FILE__, __LINE__, #actual, actual_, \
			       expected_);                                                                   \
			printf(__VA_ARGS__);                                                                 \
			printf("\n");                                                                        \
		}                                                                                            \
	} while (0)

struct test {
	const char *name;
	void (*run)(void);
};

/* Skips the running test, for this reason. */
void skip_test(const char *reason);

/* Runs all tests, and prints their results. Returns the exit status. */
int run_tests(const char *suite, const struct test *tests, int count);

#endif
