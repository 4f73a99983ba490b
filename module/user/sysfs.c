// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * sysfs.c - attributes: /sys/class/kvbm/<name>/, one value per file
 *
 * Removing the device waits for readers, so a store stays alive while one of
 * its attributes is read.  See Documentation/ABI/testing/sysfs-class-kvbm.
 */
#include <linux/device.h>
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include "file.h"

static struct kvbm_dev *to_kd(struct device *dev)
{
	return dev_get_drvdata(dev);
}

/* Counters reveal others' requests: only for the store's owner and group. */
#define KVBM_ATTR(_name)						\
	struct device_attribute dev_attr_##_name =			\
		__ATTR(_name, 0440, _name##_show, NULL)

#define STORE_ATTR(_name, _format, ...)					\
static ssize_t _name##_show(struct device *dev,				\
			    struct device_attribute *attr, char *buf)	\
{									\
	const struct kvbm_dev *kd = to_kd(dev);				\
									\
	return sysfs_emit(buf, _format "\n", __VA_ARGS__);		\
}									\
static KVBM_ATTR(_name)

STORE_ATTR(store_id, "%016llx", kd->store.id);
STORE_ATTR(total_blocks, "%u", kd->store.cfg.total);
STORE_ATTR(block_size, "%u", kd->store.cfg.block_size);
STORE_ATTR(policy, "%s", kd->store.cfg.policy->name);
STORE_ATTR(duplicates, "%s", kd->store.cfg.reject ? "reject" : "allow");
STORE_ATTR(reset_on_release, "%d", kd->store.cfg.reset);
STORE_ATTR(frequency_capacity, "%u", kd->store.cfg.freq_capacity);
STORE_ATTR(max_sessions, "%u", kd->store.cfg.max_sessions);
STORE_ATTR(max_held, "%u", kd->store.cfg.max_held);
STORE_ATTR(memory_bytes, "%llu", kd->store.memory);

STORE_ATTR(block_bytes, "%llu", kd->block_bytes);
STORE_ATTR(note_bytes, "%u", kd->store.cfg.note_bytes);
STORE_ATTR(digest, "%*phN", KVBM_DIGEST_BYTES, kd->digest);
STORE_ATTR(label, "%s", kd->label);
STORE_ATTR(linger_ms, "%llu", div_u64(kd->linger.ns, NSEC_PER_MSEC));

static ssize_t thresholds_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	const u32 *t = to_kd(dev)->store.cfg.thresholds;

	return sysfs_emit(buf, "%u %u %u\n", t[0], t[1], t[2]);
}
static KVBM_ATTR(thresholds);

static struct attribute *store_attrs[] = {
	&dev_attr_store_id.attr,
	&dev_attr_total_blocks.attr,
	&dev_attr_block_size.attr,
	&dev_attr_policy.attr,
	&dev_attr_duplicates.attr,
	&dev_attr_reset_on_release.attr,
	&dev_attr_frequency_capacity.attr,
	&dev_attr_thresholds.attr,
	&dev_attr_max_sessions.attr,
	&dev_attr_max_held.attr,
	&dev_attr_memory_bytes.attr,
	&dev_attr_linger_ms.attr,
	&dev_attr_block_bytes.attr,
	&dev_attr_note_bytes.attr,
	&dev_attr_digest.attr,
	&dev_attr_label.attr,
	NULL
};

static const struct attribute_group store_group = {
	.attrs = store_attrs,
};

#define STAT_ATTR(_name)						\
static ssize_t _name##_show(struct device *dev,				\
			    struct device_attribute *attr, char *buf)	\
{									\
	struct kvbm_stats stats = {};					\
	int err = kvbm_store_stats(&to_kd(dev)->store, &stats);		\
									\
	return err ?: sysfs_emit(buf, "%llu\n", stats._name);		\
}									\
static KVBM_ATTR(_name)

#define KVBM_STAT(_name, _help)		STAT_ATTR(_name);
#include "stats.def"

#define HISTOGRAM_ATTR(_name)						\
static ssize_t _name##_show(struct device *dev,				\
			    struct device_attribute *attr, char *buf)	\
{									\
	struct kvbm_stats *stats = kzalloc(sizeof(*stats), GFP_KERNEL);	\
	const int last = ARRAY_SIZE(stats->_name) - 1;			\
	int i, n = 0, err;						\
									\
	if (!stats)							\
		return -ENOMEM;						\
	err = kvbm_store_stats(&to_kd(dev)->store, stats);		\
	for (i = 0; !err && i <= last; i++)				\
		n += sysfs_emit_at(buf, n, "%llu%c", stats->_name[i],	\
				   i < last ? ' ' : '\n');		\
	kfree(stats);							\
	return err ?: n;						\
}									\
static KVBM_ATTR(_name)

HISTOGRAM_ATTR(wait_histogram);
HISTOGRAM_ATTR(evicted_idle_histogram);

static struct attribute *stats_attrs[] = {
#define KVBM_STAT(_name, _help)		&dev_attr_##_name.attr,
#include "stats.def"
	&dev_attr_wait_histogram.attr,
	&dev_attr_evicted_idle_histogram.attr,
	NULL
};

static const struct attribute_group stats_group = {
	.name = "stats",
	.attrs = stats_attrs,
};

const struct attribute_group *kvbm_store_groups[] = {
	&store_group,
	&stats_group,
	NULL
};

static ssize_t policies_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	const struct kvbm_evict_ops *ops;
	unsigned int i;
	int len = 0;

	for (i = 0; (ops = kvbm_evict_nth(i)); i++)
		len += sysfs_emit_at(buf, len, "%s%s", i ? " " : "", ops->name);
	len += sysfs_emit_at(buf, len, "\n");
	return len;
}
static DEVICE_ATTR_RO(policies);

static struct attribute *control_attrs[] = {
	&dev_attr_policies.attr,
	NULL
};

static const struct attribute_group control_group = {
	.attrs = control_attrs,
};

const struct attribute_group *kvbm_control_groups[] = {
	&control_group,
	NULL
};
