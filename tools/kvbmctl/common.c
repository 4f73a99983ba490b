// SPDX-License-Identifier: MIT
/* Opening devices, error messages, reading arguments. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvbmctl.h"

static bool module_loaded(void)
{
	return !access("/sys/module/kvbm", F_OK);
}

int fail(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("kvbmctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return STATUS_FAILED;
}

/* What an errno means for a store (or for the control device: no @name). */
static const char *meaning(const char *name, int err)
{
	switch (err) {
	case ENOENT:
		return name ? "no such store (see kvbmctl list)" :
			      strerror(err);
	case ENODEV:
		return "the store was destroyed";
	case ENXIO:
		return "the node leads to no store any more";
	case ESHUTDOWN:
		return "this session was revoked";
	case EUSERS:
		return "the store's limit on sessions is reached";
	case EDQUOT:
		return "a limit of the module, or of the user, is reached";
	case ENOTTY:
	case EOPNOTSUPP:
	case E2BIG:
		return "the loaded kvbm module is too old for this";
	default:
		return strerror(err);
	}
}

int fail_request(const char *name, int err, const char *format, ...)
{
	va_list args;

	err = err < 0 ? -err : err;
	fflush(stdout);
	fputs("kvbmctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", meaning(name, err));
	return STATUS_FAILED;
}

int open_control(void)
{
	int fd = kvbm_control_open();

	switch (fd) {
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
		if (module_loaded())
			fail("there is no %s, though the kvbm module is loaded: is udev or devtmpfs running?",
			     KVBM_CONTROL_PATH);
		else
			fail("the kvbm module is not loaded: try 'modprobe kvbm'");
		return -1;
	case -EACCES:
	case -EPERM:
		fail("no permission to open %s: run as root, or add a udev rule that gives access",
		     KVBM_CONTROL_PATH);
		return -1;
	}
	if (fd < 0)
		fail("cannot open %s: %s", KVBM_CONTROL_PATH, strerror(-fd));
	return fd < 0 ? -1 : fd;
}

int open_store(const char *name)
{
	struct kvbm_features features;
	int fd = kvbm_open(name);

	if (fd >= 0 && kvbm_features(fd, &features) == -ENOTTY) {
		close(fd);
		fail("'%s' is not a store", name);
		return -1;
	}
	if (fd >= 0)
		return fd;
	if (fd == -ENOENT && !module_loaded())
		fail("the kvbm module is not loaded: try 'modprobe kvbm'");
	else if (fd == -EACCES || fd == -EPERM)
		fail("no permission for store '%s': its owner and mode are in 'ls -l %s/%s'",
		     name, KVBM_DEV_DIR, name);
	else if (fd == -EINVAL)
		fail("'%s' cannot be the name of a store", name);
	else
		fail_request(name, fd, "cannot open store '%s'", name);
	return -1;
}

bool parse_hash(const char *s, struct kvbm_hash *hash)
{
	const char *colon = strchr(s, ':');
	uint64_t hi, lo;
	char high[17];

	if (!colon || colon - s > 16)
		return false;
	memcpy(high, s, colon - s);
	high[colon - s] = '\0';
	if (!parse_hex64(high, &hi) || !parse_hex64(colon + 1, &lo))
		return false;
	hash->hi = hi;
	hash->lo = lo;
	return true;
}

static bool add_word(struct hash_list *list, const char *s)
{
	struct kvbm_hash hash;
	uint64_t lo;

	if (list->half) {
		if (!parse_hex64(s, &lo))
			return false;
		hash.hi = list->hi;
		hash.lo = lo;
		list->half = false;
	} else if (!parse_hash(s, &hash)) {
		list->half = parse_hex64(s, &list->hi);
		return list->half;
	}
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 16;
		void *p = reallocarray(list->hashes, cap,
				       sizeof(*list->hashes));

		if (!p)
			return false;
		list->hashes = p;
		list->cap = cap;
	}
	list->hashes[list->n++] = hash;
	return true;
}

bool hash_list_add(struct hash_list *list, const char *s)
{
	char *copy = strdup(s), *rest = copy, *word;
	bool good = copy;

	while (good && (word = strsep(&rest, ",")))
		if (*word)
			good = add_word(list, word);
	free(copy);
	return good;
}

/* The name itself, or the last part of a path to a node. */
static bool copy_name(char to[KVBM_NAME_LEN], const char *word)
{
	const size_t dir = sizeof(KVBM_DEV_DIR);

	if (!strncmp(word, KVBM_DEV_DIR "/", dir))
		word += dir;
	if (strlen(word) >= KVBM_NAME_LEN)
		return false;
	strcpy(to, word);
	return true;
}

bool parse_ref(const char *word, struct kvbm_store_ref *ref,
	       char name[KVBM_NAME_LEN])
{
	struct kvbm_store_create unused;

	memset(ref, 0, sizeof(*ref));
	if (*word == '@')
		return parse_hex64(word + 1, &ref->id) && ref->id;
	if (!copy_name(name, word) ||
	    kvbm_store_create_init(&unused, name, 1))
		return false;
	ref->name = name;
	return true;
}

int open_target(struct target *t, const char *word)
{
	struct kvbm_expect look = { .flags = KVBM_EXPECT_READONLY };

	t->ref = NULL;
	/* A node elsewhere: ask it which store it is. */
	if (*word == '/' && strncmp(word, KVBM_DEV_DIR "/",
				    sizeof(KVBM_DEV_DIR))) {
		snprintf(t->path, sizeof(t->path), "%s",
			 strrchr(word, '/') + 1);
		t->store = (struct kvbm_store_ref){ 0 };
		t->fd = open_store(word);
		return t->fd < 0 ? -1 : 0;
	}
	if (!parse_ref(word, &t->store, t->path)) {
		fail("'%s' cannot be the name of a store, nor @ and its id",
		     word);
		return -1;
	}
	t->ref = &t->store;
	t->fd = kvbm_control_open();
	if (t->fd >= 0)
		return 0;
	if ((t->fd != -EACCES && t->fd != -EPERM) || t->store.id) {
		t->fd = open_control();
		return t->fd < 0 ? -1 : 0;
	}
	t->ref = NULL;
	t->fd = kvbm_open(word);
	if (t->fd == -EACCES)
		t->fd = kvbm_open_expect(word, &look);
	if (t->fd >= 0)
		return 0;
	/* Prints why. */
	t->fd = open_store(word);
	return t->fd < 0 ? -1 : 0;
}

int list_stores(int control, struct kvbm_store_entry **entries, uint32_t *n)
{
	const uint32_t step = 64;
	uint64_t cursor = 0;
	int got;

	*entries = NULL;
	*n = 0;
	do {
		struct kvbm_store_entry *p = reallocarray(*entries, *n + step,
							  sizeof(*p));

		if (!p)
			return -ENOMEM;
		*entries = p;
		got = kvbm_store_list_from(control, &cursor, step, p + *n,
					   NULL);
		if (got > 0)
			*n += got;
	} while (got == (int)step);
	return got < 0 ? got : 0;
}

int list_sessions(const struct target *t, struct kvbm_session_entry **entries,
		  uint32_t *n)
{
	struct kvbm_store_info info;
	const uint32_t step = 64;
	uint64_t cursor = 0;
	uint32_t kept = 0;
	int got;

	*entries = NULL;
	*n = 0;
	got = kvbm_store_info_of(t->fd, t->ref, &info);
	if (got < 0)
		return got;
	do {
		struct kvbm_session_entry *p = reallocarray(*entries, *n + step,
							    sizeof(*p));

		if (!p)
			return -ENOMEM;
		*entries = p;
		got = kvbm_session_list_of(t->fd, t->ref, &cursor, step,
					   p + *n, NULL);
		if (got > 0)
			*n += got;
	} while (got == (int)step);
	if (got < 0)
		return got;
	for (uint32_t i = 0; i < *n; i++)
		if ((*entries)[i].session_id != info.session_id)
			(*entries)[kept++] = (*entries)[i];
	*n = kept;
	return 0;
}

error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct common *args = state->input;

	switch (key) {
	case KEY_JSON:
		args->json = true;
		return 0;
	case KEY_NO_HEADINGS:
		args->no_headings = true;
		return 0;
	case KEY_PROMETHEUS:
		args->prometheus = true;
		return 0;
	case ARGP_KEY_ARGS:
		args->names = state->argv + state->next;
		args->n = state->argc - state->next;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}
