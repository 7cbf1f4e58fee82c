// SPDX-License-Identifier: Apache-2.0
/* Runs the tests in a guest. */
#include "check.h"

int checks_failed;

static const char *skipped;

void skip_test(const char *reason)
{
	skipped = reason;
}

int run_tests(const char *suite, const struct test *tests, int count)
{
	int i, failed = 0, left_out = 0;

	for (i = 0; i < count; i++) {
		int before = checks_failed;

		skipped = NULL;
		tests[i].run();
		if (skipped && checks_failed == before)
			printf("skip %s: %s: %s\n", suite, tests[i].name, skipped);
		else
			printf("%s %s: %s\n", checks_failed == before ? "ok" : "not ok", suite,
			       tests[i].name);
		fflush(stdout);
		failed += checks_failed != before;
		left_out += skipped && checks_failed == before;
	}
	printf("%s: %d passed, %d failed\n", suite, count - failed - left_out, failed);
	return failed > 0;
}
