// SPDX-License-Identifier: MIT
#include <linux/rhashtable.h>
int main(void) { return 0; }
