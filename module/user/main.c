// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * main.c - the module
 */
#include <linux/module.h>
#include "file.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static int __init kvbm_init(void)
{
	int err;

	err = kvbm_poll_start();
	if (err)
		return err;
	err = kvbm_departed_start();
	if (err)
		goto stop_poll;
	err = kvbm_dev_init(&kvbm_open_fops, &kvbm_poll_ops);
	if (err)
		goto stop_departed;
	return 0;

stop_departed:
	kvbm_departed_stop();
stop_poll:
	kvbm_poll_stop();
	return err;
}
module_init(kvbm_init);

static void __exit kvbm_exit(void)
{
	/* Waits for the end of closed files, which still keep stores. */
	kvbm_dev_exit();
	kvbm_departed_stop();
	kvbm_poll_stop();
}
module_exit(kvbm_exit);

MODULE_DESCRIPTION("Host-wide KV cache for LLM inference");
MODULE_AUTHOR("The kvbm authors");
MODULE_LICENSE("Dual MIT/GPL");
MODULE_VERSION(KVBM_VERSION);
