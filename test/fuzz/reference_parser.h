/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An independent parser: it follows only RFC 9293, sections 3.1 and 3.2, and the TOA rules. It
 * shares no code, type or algorithm with kernel/toa_option.h, so that a mistake in one is not a
 * mistake in both.
 */
#ifndef TOASCOPE_FUZZ_REFERENCE_PARSER_H
#define TOASCOPE_FUZZ_REFERENCE_PARSER_H

#include "option_case.h"

struct parse_result reference_parse(const struct option_case *tc);

#endif
