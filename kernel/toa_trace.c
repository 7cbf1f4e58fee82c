// SPDX-License-Identifier: GPL-2.0-only
/* The definitions of the tracepoints. */
#define CREATE_TRACE_POINTS
#include "toa_trace.h"
