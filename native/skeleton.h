// SPDX-License-Identifier: Apache-2.0
// The generated skeleton, and the struct of constants that it has a member of.
#pragma once

#include "../bpf/cfg.h"
#include "toascope.skel.h"
