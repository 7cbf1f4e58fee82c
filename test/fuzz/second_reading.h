/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second reading: reads an option list by nothing but RFC 9293, sections 3.1 and 3.2, and the
 * rules of TOA. It shares no code, type or algorithm with kernel/toa_option.h, so that a mistake in
 * one is not a mistake in both.
 */
#ifndef TOASCOPE_FUZZ_SECOND_READING_H
#define TOASCOPE_FUZZ_SECOND_READING_H

#include "option_case.h"

struct reading second_reading(const struct option_case *tc);

#endif
