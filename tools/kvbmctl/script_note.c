// SPDX-License-Identifier: MIT
/* Script operations on notes, which describe blocks. */
#include <errno.h>
#include <string.h>

#include "script_engine.h"

int script_note_room(struct script *s, size_t n)
{
	/* Of a store without notes one is given, too: it refuses. */
	if (script_grow(&s->notes, &s->cap_notes, 0,
			n * s->note_bytes + KVBM_MAX_NOTE_BYTES, 1))
		return script_nomem(s);
	return 0;
}

int script_fetch_note(struct script *s, const struct script_cmd *cmd)
{
	if (script_note_room(s, 1))
		return -ENOMEM;
	if (s->note_bytes && cmd->note_len > s->note_bytes)
		return -EINVAL;
	memset(s->notes, 0, KVBM_MAX_NOTE_BYTES);
	memcpy(s->notes, cmd->note, cmd->note_len);
	return 0;
}

static void put_note(struct script *s, const uint8_t *note)
{
	for (uint32_t i = 0; i < s->note_bytes; i++)
		script_put(s, "%02x", note[i]);
}

void script_put_notes(struct script *s, uint32_t n)
{
	bool any = false;

	script_put(s, " notes=");
	for (uint32_t i = 0; i < n; i++) {
		if (s->ids[i] == KVBM_NO_BLOCK)
			continue;
		if (any)
			script_put(s, ",");
		put_note(s, s->notes + (size_t)i * s->note_bytes);
		any = true;
	}
	script_put_end(s, any);
}

int script_op_note(struct script *s, const struct script_cmd *cmd)
{
	struct kvbm_block_info info;
	int err;

	if (script_note_room(s, 1))
		return -ENOMEM;
	for (size_t i = 0; i < cmd->n_ids; i++) {
		err = s->backend->block_note(script_fd(s), cmd->ids[i], &info,
					     s->notes);
		if (err < 0)
			return err;
		if (i)
			script_put(s, ",");
		put_note(s, s->notes);
	}
	script_put_end(s, cmd->n_ids);
	return 0;
}
