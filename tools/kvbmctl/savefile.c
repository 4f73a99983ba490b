// SPDX-License-Identifier: MIT
/* The file of kvbmctl save and restore: written whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "kvbmctl.h"
#include "savefile.h"

static size_t notes_bytes(const struct save_header *h)
{
	return h->count * h->note_bytes;
}

static uint64_t checksum(struct save_header header,
			 const struct save_entry *entries, const uint8_t *notes)
{
	XXH3_state_t *state = XXH3_createState();
	uint64_t sum;

	if (!state)
		return 0;
	header.checksum = 0;
	XXH3_64bits_reset(state);
	XXH3_64bits_update(state, &header, sizeof(header));
	XXH3_64bits_update(state, entries, header.count * sizeof(*entries));
	if (notes_bytes(&header))
		XXH3_64bits_update(state, notes, notes_bytes(&header));
	sum = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	return sum;
}

static int write_all(int fd, const void *data, size_t bytes)
{
	const char *p = data;

	while (bytes) {
		ssize_t n = write(fd, p, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		bytes -= n;
	}
	return 0;
}

static int read_all(int fd, void *data, size_t bytes)
{
	char *p = data;

	while (bytes) {
		ssize_t n = read(fd, p, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		p += n;
		bytes -= n;
	}
	return 0;
}

/* Makes the name survive a power loss, too. */
static int sync_directory(const char *path)
{
	char *copy = strdup(path);
	int fd, err = 0;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Some file systems cannot do this, which is no error. */
	if (fd < 0 || (fsync(fd) && errno != EINVAL))
		err = -errno;
	if (fd >= 0)
		close(fd);
	free(copy);
	return err;
}

int savefile_write(const char *path, struct save_header *h,
		   const struct save_entry *entries, const uint8_t *notes)
{
	char temporary[PATH_MAX];
	int fd, err;

	memcpy(h->magic, SAVE_MAGIC, sizeof(h->magic));
	h->version = SAVE_VERSION;
	h->header_bytes = sizeof(*h);
	h->entry_bytes = sizeof(*entries);
	h->checksum = checksum(*h, entries, notes);
	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >=
	    (int)sizeof(temporary))
		return fail("cannot write '%s': %s", path,
			    strerror(ENAMETOOLONG));
	/* Mode 0600: hashes reveal prompts. */
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return fail("cannot write '%s': %s", path, strerror(errno));
	err = write_all(fd, h, sizeof(*h));
	if (!err)
		err = write_all(fd, entries, h->count * sizeof(*entries));
	if (!err)
		err = write_all(fd, notes, notes_bytes(h));
	if (!err && fsync(fd))
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(temporary, path))
		err = -errno;
	if (err)
		unlink(temporary);
	else
		err = sync_directory(path);
	return err ? fail("cannot write '%s': %s", path, strerror(-err)) :
		     STATUS_OK;
}

/* Are the entries plausible? NULL, or what is wrong. */
static const char *bad_header(const struct save_header *h, uint64_t bytes)
{
	if (memcmp(h->magic, SAVE_MAGIC, sizeof(h->magic)))
		return "it is not a file of kvbmctl save";
	if (h->version != SAVE_VERSION)
		return "its format is one that this kvbmctl does not know";
	if (h->header_bytes != sizeof(*h) ||
	    h->entry_bytes != sizeof(struct save_entry) ||
	    !h->total_blocks || h->total_blocks > KVBM_MAX_BLOCKS ||
	    h->count > h->total_blocks ||
	    h->note_bytes > KVBM_MAX_NOTE_BYTES ||
	    !memchr(h->policy, 0, sizeof(h->policy)))
		return "its header is damaged";
	if (bytes != sizeof(*h) + h->count * sizeof(struct save_entry) +
	    notes_bytes(h))
		return "it is cut off, or longer than it should be";
	return NULL;
}

static const char *bad_entries(const struct save_header *h,
			       const struct save_entry *e)
{
	uint8_t *seen = calloc(h->total_blocks, 1);
	const char *what = NULL;

	if (!seen)
		return strerror(ENOMEM);
	for (uint64_t i = 0; i < h->count && !what; i++, e++) {
		if (e->block >= h->total_blocks || seen[e->block] ||
		    e->rank > 3 || e->keep_rank > KVBM_RANK_KEEP ||
		    e->order != i)
			what = "an entry is damaged";
		else
			seen[e->block] = 1;
	}
	free(seen);
	return what;
}

static int read_file(int fd, const char *path, struct save_header *h,
		     struct save_entry **entries, uint8_t **notes)
{
	const char *what = NULL;
	struct stat stat;
	int err = 0;

	if (fstat(fd, &stat))
		return fail("cannot read '%s': %s", path, strerror(errno));
	if (!S_ISREG(stat.st_mode) || stat.st_size < (off_t)sizeof(*h))
		return fail("'%s': it is not a file of kvbmctl save", path);
	err = read_all(fd, h, sizeof(*h));
	if (!err)
		what = bad_header(h, stat.st_size);
	if (!err && !what) {
		*entries = malloc(h->count * sizeof(**entries) + 1);
		err = *entries ? read_all(fd, *entries,
					  h->count * sizeof(**entries)) :
				 -ENOMEM;
	}
	if (!err && !what) {
		*notes = malloc(notes_bytes(h) + 1);
		err = *notes ? read_all(fd, *notes, notes_bytes(h)) : -ENOMEM;
	}
	if (err)
		return fail("cannot read '%s': %s", path, strerror(-err));
	if (!what && checksum(*h, *entries, *notes) != h->checksum)
		what = "its checksum is wrong";
	if (!what)
		what = bad_entries(h, *entries);
	return what ? fail("'%s': %s", path, what) : STATUS_OK;
}

int savefile_read(const char *path, struct save_header *h,
		  struct save_entry **entries, uint8_t **notes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), status;

	*entries = NULL;
	*notes = NULL;
	if (fd < 0)
		return fail("cannot read '%s': %s", path, strerror(errno));
	status = read_file(fd, path, h, entries, notes);
	close(fd);
	if (status) {
		free(*entries);
		free(*notes);
		*entries = NULL;
		*notes = NULL;
	}
	return status;
}
