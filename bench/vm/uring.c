// SPDX-License-Identifier: MIT
#include "vmbench.h"
void bench_uring(void) {}
