// SPDX-License-Identifier: MIT
/* kvbmctl list, features */
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvbmctl.h"
#include "table.h"

static void user_name(uint32_t id, char *text, size_t size)
{
	struct passwd *pw = getpwuid(id);

	if (pw)
		snprintf(text, size, "%s", pw->pw_name);
	else
		snprintf(text, size, "%u", id);
}

static void group_name(uint32_t id, char *text, size_t size)
{
	struct group *gr = getgrgid(id);

	if (gr)
		snprintf(text, size, "%s", gr->gr_name);
	else
		snprintf(text, size, "%u", id);
}

static int print_stores(const struct kvbm_store_entry *entries, uint32_t n,
			const struct common *args)
{
	static const struct table_column columns[] = {
		{ "NAME", 0 },
		{ "BLOCKS", TABLE_NUMBER },
		{ "SESSIONS", TABLE_NUMBER },
		{ "OWNER", 0 },
		{ "GROUP", 0 },
		{ "UID", TABLE_NUMBER | TABLE_JSON },
		{ "GID", TABLE_NUMBER | TABLE_JSON },
		{ "MODE", 0 },
		{ "STORE_ID", 0 },
		{ "DYING", TABLE_BOOL },
		{ "MONITOR_GID", TABLE_NUMBER | TABLE_JSON },
		{ "CHARGED_UID", TABLE_NUMBER | TABLE_JSON },
		{ "MEMORY", TABLE_NUMBER | TABLE_JSON },
	};
	struct table *t = table_new("stores", columns,
				    sizeof(columns) / sizeof(*columns), args);
	char name[33];

	for (uint32_t i = 0; i < n; i++) {
		const struct kvbm_store_entry *e = &entries[i];

		table_row(t);
		table_chars(t, e->name, sizeof(e->name));
		table_number(t, e->total_blocks);
		table_number(t, e->sessions);
		user_name(e->uid, name, sizeof(name));
		table_put(t, "%s", name);
		group_name(e->gid, name, sizeof(name));
		table_put(t, "%s", name);
		table_number(t, e->uid);
		table_number(t, e->gid);
		table_put(t, "%04o", e->mode & 07777);
		table_put(t, "%016llx", (unsigned long long)e->store_id);
		table_bool(t, e->flags & KVBM_STORE_DYING);
		if (e->monitor_gid == (uint32_t)-1)
			table_none(t);
		else
			table_number(t, e->monitor_gid);
		table_number(t, e->charged_uid);
		table_number(t, e->memory);
	}
	return table_print(t, stdout);
}

int cmd_list(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_JSON, OPTION_NO_HEADINGS, { 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.doc = "List stores. Only their owners and root see anonymous ones, named \"-\", and destroyed ones that are still open.",
	};
	struct kvbm_store_entry *entries;
	struct common args = { 0 };
	int control, err;
	uint32_t n;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.n) {
		fail("list takes no arguments (kvbmctl show NAME shows one store)");
		return STATUS_USAGE;
	}
	control = open_control();
	if (control < 0)
		return STATUS_FAILED;
	err = list_stores(control, &entries, &n);
	close(control);
	if (err) {
		free(entries);
		return fail_request(NULL, err, "cannot list stores");
	}

	err = print_stores(entries, n, &args);
	free(entries);
	return err;
}

static const struct {
	uint64_t bit;
	const char *name;
} feature_names[] = {
	{ KVBM_FEATURE_STORE, "store" },
	{ KVBM_FEATURE_WAIT, "wait" },
	{ KVBM_FEATURE_URING, "uring" },
	{ KVBM_FEATURE_REVOKE, "revoke" },
	{ KVBM_FEATURE_PAYLOAD, "payload" },
	{ KVBM_FEATURE_LINGER, "linger" },
	{ KVBM_FEATURE_EXPORT, "export" },
	{ KVBM_FEATURE_EVENTS, "events" },
	{ KVBM_FEATURE_CLAIMS, "claims" },
	{ KVBM_FEATURE_INVALIDATE, "invalidate" },
	{ KVBM_FEATURE_RETENTION, "retention" },
	{ KVBM_FEATURE_OFFERS, "offers" },
	{ KVBM_FEATURE_NOTES, "notes" },
};

#define N_FEATURES	(sizeof(feature_names) / sizeof(*feature_names))

/* The running module's version; NULL if sysfs does not have it. */
static const char *module_version(void)
{
	static char version[64];
	FILE *f = fopen("/sys/module/kvbm/version", "re");
	char *told;

	if (!f)
		return NULL;
	told = fgets(version, sizeof(version), f);
	fclose(f);
	version[strcspn(version, "\n")] = '\0';
	return told && *version ? version : NULL;
}

static struct json_object *features_json(const struct kvbm_features *f,
					 const char *module)
{
	struct json_object *object = json_object_new_object();
	struct json_object *names = json_object_new_array();

	json_str(object, "library", kvbm_version());
	if (module)
		json_str(object, "module", module);
	else
		json_object_object_add(object, "module", NULL);
	for (size_t i = 0; i < N_FEATURES; i++)
		if (f->features & feature_names[i].bit)
			json_object_array_add(names,
					      json_object_new_string(feature_names[i].name));
	json_object_object_add(object, "features", names);
	json_u64(object, "max_blocks", f->max_blocks);
	json_u64(object, "max_batch", f->max_batch);
	json_u64(object, "max_holds", f->max_holds);
	json_u64(object, "chunk", f->chunk);
	json_u64(object, "max_block_size", f->max_block_size);
	return object;
}

int cmd_features(int argc, char **argv)
{
	static const struct argp_option options[] = { OPTION_JSON, { 0 } };
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.doc = "Show the versions of the library and of the loaded module, the module's features, and its limits.",
	};
	struct common args = { 0 };
	struct kvbm_features f;
	const char *module;
	int control, err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.n) {
		fail("features takes no arguments");
		return STATUS_USAGE;
	}
	control = open_control();
	if (control < 0)
		return STATUS_FAILED;
	err = kvbm_features(control, &f);
	close(control);
	if (err)
		return fail_request(NULL, err, "cannot query features");
	module = module_version();
	if (args.json)
		return print_json(features_json(&f, module));

	printf("library     %s\nmodule      %s\nfeatures   ", kvbm_version(),
	       module ? module : "-");
	for (size_t i = 0; i < N_FEATURES; i++)
		if (f.features & feature_names[i].bit)
			printf(" %s", feature_names[i].name);
	printf("\nmax_blocks  %u\nmax_batch   %u\nmax_holds   %u\nchunk       %u\n",
	       f.max_blocks, f.max_batch, f.max_holds, f.chunk);
	return STATUS_OK;
}
