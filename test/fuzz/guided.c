// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry point: compares both parsers on option lists, guided by coverage.
#include <stdlib.h>

#include "compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	enum toa_verdict verdict;

	decode_case(&current_case, input, size);
	if (!parsers_agree(&verdict))
		abort(); // libFuzzer keeps the input
	return 0;
}
