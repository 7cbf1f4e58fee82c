/* SPDX-License-Identifier: Apache-2.0 */
/* The parser under test, kernel/toa_option.h, as its callers use it. */
#ifndef TOASCOPE_FUZZ_PARSER_H
#define TOASCOPE_FUZZ_PARSER_H

#include "option_case.h"

/*
 * With AddressSanitizer, a byte past the list's end is out of bounds, though it lies in the
 * parser's buffer. What the parser may not write is looked at, too: *fault says what it did, or NULL.
 */
struct reading parser_reading(const struct option_case *on, const char **fault);

#endif
