// SPDX-License-Identifier: MIT
/* kvbmctl show */
#include <unistd.h>

#include "kvbmctl.h"
#include "payload.h"

#define DIGEST_TEXT	(2 * KVBM_DIGEST_BYTES + 1)

/* In hexadecimal digits; empty if the store has none. */
static const char *digest_text(const struct kvbm_store_info *info, char *text)
{
	unsigned char any = 0;

	for (size_t i = 0; i < sizeof(info->digest); i++) {
		any |= info->digest[i];
		snprintf(text + 2 * i, 3, "%02x", info->digest[i]);
	}
	if (!any)
		*text = 0;
	return text;
}

static struct json_object *info_json(const struct kvbm_store_info *info)
{
	struct json_object *object = json_object_new_object();
	struct json_object *thresholds;
	char digest[DIGEST_TEXT];
	char mode[8];

	json_chars(object, "name", info->name, sizeof(info->name));
	json_store_id(object, info->store_id);
	json_u64(object, "total_blocks", info->total_blocks);
	json_u64(object, "block_size", info->block_size);
	json_chars(object, "policy", info->policy, sizeof(info->policy));
	json_str(object, "duplicates",
		 info->flags & KVBM_CREATE_REJECT ? "reject" : "allow");
	json_object_object_add(object, "reset_on_release",
			       json_object_new_boolean(info->flags &
						       KVBM_CREATE_RESET));
	json_u64(object, "frequency_capacity", info->freq_capacity);
	thresholds = json_object_new_array();
	for (int i = 0; info->thresholds[0] && i < 3; i++)
		json_object_array_add(thresholds,
				      json_object_new_uint64(info->thresholds[i]));
	json_object_object_add(object, "thresholds", thresholds);
	json_u64(object, "max_sessions", info->max_sessions);
	json_u64(object, "max_held", info->max_held);
	json_u64(object, "chunk", info->chunk);
	json_u64(object, "memory", info->memory);
	json_u64(object, "need", info->need);
	json_u64(object, "linger_ms", info->linger_ms);
	json_u64(object, "event_records", info->event_records);
	json_u64(object, "note_bytes", info->note_bytes);
	json_u64(object, "keep_blocks", info->keep_blocks);
	json_u64(object, "keep_user_blocks", info->keep_user_blocks);
	json_str(object, "digest", digest_text(info, digest));
	json_chars(object, "label", info->label, sizeof(info->label));
	json_u64(object, "block_bytes", info->block_bytes);
	json_u64(object, "page_bytes", info->page_bytes);
	json_u64(object, "resident", info->resident);
	json_u64(object, "uid", info->uid);
	json_u64(object, "gid", info->gid);
	json_u64(object, "charged_uid", info->charged_uid);
	if (info->monitor_gid != (uint32_t)-1)
		json_u64(object, "monitor_gid", info->monitor_gid);
	snprintf(mode, sizeof(mode), "%04o", info->mode & 07777);
	json_str(object, "mode", mode);
	json_object_object_add(object, "opaque",
			       json_object_new_boolean(info->flags &
						       KVBM_CREATE_OPAQUE));
	json_object_object_add(object, "dying",
			       json_object_new_boolean(info->status &
						       KVBM_STORE_DYING));
	return object;
}

static void print_info(const struct kvbm_store_info *info)
{
	char digest[DIGEST_TEXT];

	printf("name               %s%s\n", *info->name ? info->name : "-",
	       info->status & KVBM_STORE_DYING ? " (destroyed)" : "");
	printf("store id           %016llx\n",
	       (unsigned long long)info->store_id);
	if (*info->label)
		printf("label              %.*s\n", (int)sizeof(info->label),
		       info->label);
	if (*digest_text(info, digest))
		printf("digest             %s\n", digest);
	printf("owner              uid %u, gid %u, mode %04o", info->uid,
	       info->gid, info->mode);
	if (info->monitor_gid != (uint32_t)-1)
		printf(", statistics for gid %u", info->monitor_gid);
	printf("\ncharged to         uid %u\n", info->charged_uid);
	printf("blocks             %u of %u tokens\n", info->total_blocks,
	       info->block_size);
	printf("policy             %.*s", (int)sizeof(info->policy),
	       info->policy);
	if (info->thresholds[0])
		printf(" %u,%u,%u", info->thresholds[0], info->thresholds[1],
		       info->thresholds[2]);
	printf("\nduplicates         %s\n",
	       info->flags & KVBM_CREATE_REJECT ? "reject" : "allow");
	printf("reset on release   %s\n",
	       info->flags & KVBM_CREATE_RESET ? "yes" : "no");
	if (info->freq_capacity)
		printf("frequency          capacity %u\n", info->freq_capacity);
	else
		printf("frequency          off\n");
	printf("hashes             %s\n",
	       info->flags & KVBM_CREATE_OPAQUE ? "opaque" : "lineage");
	printf("sessions           %u of at most %u", info->sessions,
	       info->max_sessions);
	if (info->revoked)
		printf(", and %u revoked", info->revoked);
	printf("\nothers may         %s%s%s\n",
	       info->rights & KVBM_RIGHT_RESET_INACTIVE ? "reset " : "",
	       info->rights & KVBM_RIGHT_SET_RESET ? "flag" : "",
	       info->rights ? "" : "neither reset nor flag");
	if (info->max_held)
		printf("held by a session  at most %u blocks\n",
		       info->max_held);
	else
		printf("held by a session  no limit\n");
	if (info->linger_ms)
		printf("lingers            %u ms after a session's end\n",
		       info->linger_ms);
	if (info->event_records)
		printf("events             the last %u are kept\n",
		       info->event_records);
	if (info->note_bytes)
		printf("notes              %u bytes a block\n",
		       info->note_bytes);
	if (info->keep_blocks)
		printf("retention          at most %u blocks are raised, %u by one user\n",
		       info->keep_blocks, info->keep_user_blocks);
	if (info->block_bytes)
		printf("payload            %llu bytes a block, %llu MiB in all, pages of %llu KiB, %llu MiB resident\n",
		       (unsigned long long)info->block_bytes,
		       (unsigned long long)(info->block_bytes *
					    info->total_blocks) >> 20,
		       (unsigned long long)info->page_bytes >> 10,
		       (unsigned long long)info->resident >> 20);
	printf("memory             %llu bytes (%.1f a block)\n",
	       (unsigned long long)info->memory,
	       (double)info->memory / info->total_blocks);
}

static void print_counts(const struct kvbm_counts *c)
{
	printf("free (reset)       %u\n", c->reset);
	printf("idle (inactive)    %u\n", c->inactive);
	printf("held               %u\n", c->held);
	if (c->lingering)
		printf("lingering          %u\n", c->lingering);
	printf("available          %u\n", c->available);
	printf("reserved           %u for %u waiting\n", c->reserved_blocks,
	       c->waiters);
	printf("registered hashes  %u\n\n", c->registered);
}

int cmd_show(int argc, char **argv)
{
	static const struct argp_option options[] = { OPTION_JSON, { 0 } };
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME",
		.doc = "Show a store's properties, the states of its blocks, and its statistics.",
	};
	struct kvbm_store_info info;
	struct kvbm_counts counts;
	struct kvbm_stats stats;
	struct payload_nodes nodes = { 0 };
	struct common args = { 0 };
	struct json_object *object;
	struct target t;
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.n != 1) {
		fail("show takes the name of one store (see kvbmctl list)");
		return STATUS_USAGE;
	}
	if (open_target(&t, args.names[0]))
		return STATUS_FAILED;
	err = kvbm_store_info_of(t.fd, t.ref, &info);
	if (!err)
		err = kvbm_counts_of(t.fd, t.ref, &counts);
	if (!err)
		err = read_stats(&t, &stats);
	close(t.fd);
	if (err)
		return fail_request(args.names[0], err, "store '%s'",
				    args.names[0]);
	if (!t.ref && info.sessions)
		info.sessions--;	/* ours */
	/* Only a session can see the memory: open one for a moment. */
	if (info.block_bytes && *info.name)
		payload_look_at_nodes(args.names[0], &nodes);

	if (args.json) {
		object = info_json(&info);
		json_object_object_add(object, "payload_nodes",
				       payload_nodes_json(&nodes));
		json_object_object_add(object, "counts", counts_json(&counts));
		json_object_object_add(object, "stats", stats_json(&stats));
		return print_json(object);
	}
	print_info(&info);
	payload_print_nodes(&nodes);
	putchar('\n');
	print_counts(&counts);
	print_stats(&stats);
	return STATUS_OK;
}
