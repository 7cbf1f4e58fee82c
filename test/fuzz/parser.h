/* SPDX-License-Identifier: Apache-2.0 */
/* The parser under test, kernel/toa_option.h, as its callers use it. */
#ifndef TOASCOPE_FUZZ_PARSER_H
#define TOASCOPE_FUZZ_PARSER_H

#include "option_case.h"

/*
 * With AddressSanitizer, the bytes after the list's end are out of bounds, although they are in the
 * parser's buffer. Forbidden writes are detected as well: *fault describes one, or is NULL.
 */
struct parse_result run_parser(const struct option_case *tc, const char **fault);

#endif
