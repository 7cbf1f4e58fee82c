// SPDX-License-Identifier: Apache-2.0
// Option lists through both readings, guided by coverage: libFuzzer's entry.
#include <stdlib.h>

#include "compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	enum verdict verdict;

	decode_case(&current_case, input, size);
	if (!readings_agree(&verdict))
		abort(); // libFuzzer keeps the input
	return 0;
}
