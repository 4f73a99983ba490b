/* SPDX-License-Identifier: MIT */
#ifndef HOST_ASM_BYTEORDER_H
#define HOST_ASM_BYTEORDER_H

#include <endian.h>
#include <linux/types.h>

#define le16_to_cpu(x) le16toh(x)
#define le32_to_cpu(x) le32toh(x)
#define le64_to_cpu(x) le64toh(x)
#define le16_to_cpup(p) le16toh(*(const u16 *)(p))
#define le32_to_cpup(p) le32toh(*(const u32 *)(p))
#define le64_to_cpup(p) le64toh(*(const u64 *)(p))

#endif
