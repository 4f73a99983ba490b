/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_UNALIGNED_H
#define HOST_LINUX_UNALIGNED_H

#include <string.h>
#include <linux/compiler.h>
#include <linux/types.h>
#include <endian.h>
#define get_unaligned(p) ({ __unqual_scalar_typeof(*(p)) __v; memcpy(&__v, (p), sizeof(__v)); __v; })
#define put_unaligned(v, p) do { typeof(*(p)) __v = (v); memcpy((p), &__v, sizeof(__v)); } while (0)
#define get_unaligned_le16(p) le16toh(get_unaligned((const u16 *)(p)))
#define get_unaligned_le32(p) le32toh(get_unaligned((const u32 *)(p)))
#define get_unaligned_le64(p) le64toh(get_unaligned((const u64 *)(p)))

#endif
