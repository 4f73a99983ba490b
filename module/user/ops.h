/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * ops.h - sets of operations from ops.def
 */
#ifndef KVBM_OPS_H
#define KVBM_OPS_H

#include <linux/bits.h>
#include <linux/types.h>
#include <linux/kvbm.h>

/* A word with a bit for each operation. */
#define KVBM_OPS_END	64

/**
 * kvbm_is_data_op() - whether an operation belongs to the data path
 * @op: any number
 */
static inline bool kvbm_is_data_op(unsigned int op)
{
	const u64 data = 0
#define KVBM_DATA(_name, ...)	| BIT_ULL(KVBM_OP_##_name)
#include "ops.def"
	;

	return op < KVBM_OPS_END && data & BIT_ULL(op);
}

/**
 * kvbm_ops_reading() - operations for which a descriptor need not be writable
 */
static inline u64 kvbm_ops_reading(void)
{
#define KVBM_OPS_READS(_name)	| BIT_ULL(KVBM_OP_##_name)
#define KVBM_OPS_WRITES(_name)
	return 0
#define KVBM_REQUEST(_name, _structure, _flags, _control, _session, _access, _right) \
	KVBM_OPS_##_access(_name)
#define KVBM_DATA(_name, _handler, _structure, _flags, _access, _right) \
	KVBM_OPS_##_access(_name)
#include "ops.def"
	;
#undef KVBM_OPS_READS
#undef KVBM_OPS_WRITES
}

/**
 * kvbm_ops_needing() - operations that need one of these rights
 * @rights: KVBM_RIGHT_*
 */
static inline u64 kvbm_ops_needing(u32 rights)
{
	return 0
#define KVBM_REQUEST(_name, _structure, _flags, _control, _session, _access, _right) \
	| ((_right) & rights ? BIT_ULL(KVBM_OP_##_name) : 0)
#define KVBM_DATA(_name, _handler, _structure, _flags, _access, _right) \
	| ((_right) & rights ? BIT_ULL(KVBM_OP_##_name) : 0)
#include "ops.def"
	;
}

#endif /* KVBM_OPS_H */
