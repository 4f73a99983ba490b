/* SPDX-License-Identifier: MIT */
/*
 * The operations as data, from the module's own list.
 */
#ifndef KVBM_OPS_TABLE_H
#define KVBM_OPS_TABLE_H

#include <linux/kvbm.h>

enum kt_where {
	KT_NO,
	KT_YES,		/* on this kind of descriptor */
	KT_STORE,	/* and there it names a store */
};

/**
 * struct kt_op - an operation
 * @op: enum kvbm_op
 * @name: without KVBM_OP_
 * @size: of its structure
 * @flags: that it may have
 * @control: on the control device
 * @session: on sessions
 * @reads: also on a descriptor that is not writable
 * @data: of the data path: by io_uring too, a batch
 */
struct kt_op {
	unsigned int op;
	const char *name;
	unsigned int size;
	unsigned int flags;
	enum kt_where control;
	_Bool session;
	_Bool reads;
	_Bool data;
};

#define KT_CONTROL_NO		KT_NO
#define KT_CONTROL_ITSELF	KT_YES
#define KT_CONTROL_STORE	KT_STORE
#define KT_CONTROL_READER	KT_STORE
#define KT_CONTROL_OPENER	KT_STORE
#define KT_CONTROL_ADMIN	KT_STORE
#define KT_SESSION_NO		0
#define KT_SESSION_YES		1
#define KT_SESSION_ADMIN	1
#define KT_SESSION_ALWAYS	1
#define KT_READS		1
#define KT_WRITES		0

static const struct kt_op kt_ops[] = {
#define KVBM_REQUEST(_name, _structure, _flags, _control, _session, _access, \
		     _right)						\
	{ KVBM_OP_##_name, #_name, sizeof(struct kvbm_##_structure), _flags, \
	  KT_CONTROL_##_control, KT_SESSION_##_session, KT_##_access, 0 },
#define KVBM_DATA(_name, _handler, _structure, _flags, _access, _right)	\
	{ KVBM_OP_##_name, #_name, sizeof(struct kvbm_##_structure), _flags, \
	  KT_NO, 1, KT_##_access, 1 },
#include "ops.def"
};

#define KT_NR_OPS	(sizeof(kt_ops) / sizeof(kt_ops[0]))

/* NULL: there is none. */
static inline const struct kt_op *kt_op(unsigned int op)
{
	unsigned int i;

	for (i = 0; i < KT_NR_OPS; i++)
		if (kt_ops[i].op == op)
			return &kt_ops[i];
	return (void *)0;
}

#endif /* KVBM_OPS_TABLE_H */
