// SPDX-License-Identifier: MIT
/* Payloads and attributes are not built here: virtual machines have them. */
#include <linux/device.h>
#include "file.h"

const struct attribute_group *kvbm_control_groups[] = { NULL };
const struct attribute_group *kvbm_store_groups[] = { NULL };

struct file *kvbm_payload_get(const struct kvbm_store_create *c)
{
	return c->flags & KVBM_CREATE_PAYLOAD ? ERR_PTR(-EINVAL) : NULL;
}

void kvbm_payload_info(const struct kvbm_dev *kd, struct kvbm_payload *args)
{
}

int kvbm_payload_open(const struct kvbm_dev *kd, bool read_only,
		      struct file **file)
{
	return -ENODATA;
}
