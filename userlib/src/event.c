// SPDX-License-Identifier: MIT
/* Events of a store. */
#include <unistd.h>

#include "internal.h"

int kvbm_events_open_of(int control, const struct kvbm_store_ref *ref,
			struct kvbm_events *events)
{
	int ret = kvbm_fill_ref(ref, &events->store_id, events->name);

	events->size = sizeof(*events);
	events->fd = 0;
	events->records = 0;
	events->record_size = 0;
	memset(events->reserved, 0, sizeof(events->reserved));
	if (!ret)
		ret = kvbm_ioctl(control, KVBM_IOC_EVENTS, events);
	return ret < 0 ? ret : events->fd;
}

int kvbm_events_open(int session, struct kvbm_events *events)
{
	return kvbm_events_open_of(session, NULL, events);
}

int kvbm_events_read(int fd, struct kvbm_event *out, uint32_t count)
{
	ssize_t got = read(fd, out, count * sizeof(*out));

	return got < 0 ? -errno : (int)(got / (ssize_t)sizeof(*out));
}
