// SPDX-License-Identifier: Apache-2.0
/* The runner of the tests in a guest. */
#include "check.h"

int checks_failed;

int run_tests(const char *suite, const struct test *tests, int count)
{
	int i, failed = 0;

	for (i = 0; i < count; i++) {
		int before = checks_failed;

		tests[i].run();
		printf("%s %s: %s\n", checks_failed == before ? "ok" : "not ok", suite, tests[i].name);
		fflush(stdout);
		failed += checks_failed != before;
	}
	printf("%s: %d passed, %d failed\n", suite, count - failed, failed);
	return failed > 0;
}
