/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second reading: what an option list says, from RFC 9293, sections 3.1 and 3.2, and the
 * rules of TOA alone. It shares no code, no type and no way of going about it with
 * kernel/toa_option.h, so that a mistake in one is not a mistake in both.
 */
#ifndef TOASCOPE_FUZZ_SECOND_READING_H
#define TOASCOPE_FUZZ_SECOND_READING_H

#include "option_case.h"

struct reading second_reading(const struct option_case *on);

#endif
