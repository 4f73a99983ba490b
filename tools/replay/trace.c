// SPDX-License-Identifier: MIT
/* Reading and writing request traces. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "trace.h"

static int grow(void **array, size_t n, size_t size)
{
	void *bigger;

	/* Doubles at every power of two. */
	if (n & (n - 1))
		return 0;
	bigger = reallocarray(*array, n ? 2 * n : 1, size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	return 0;
}

int trace_add_id(struct trace *trace, uint64_t id)
{
	int ret = grow((void **)&trace->ids, trace->nr_ids, sizeof(id));

	if (!ret)
		trace->ids[trace->nr_ids++] = id;
	return ret;
}

int trace_add_request(struct trace *trace, const struct request *request)
{
	int ret = grow((void **)&trace->requests, trace->nr_requests,
		       sizeof(*request));

	if (ret)
		return ret;
	trace->requests[trace->nr_requests++] = *request;
	if (request->blocks > trace->max_blocks)
		trace->max_blocks = request->blocks;
	return 0;
}

void trace_free(struct trace *trace)
{
	free(trace->requests);
	free(trace->ids);
	memset(trace, 0, sizeof(*trace));
}

static int get_number(struct json_object *line, const char *key, int64_t max,
		      int64_t *out)
{
	struct json_object *value;

	if (!json_object_object_get_ex(line, key, &value))
		return -ENOENT;
	if (!json_object_is_type(value, json_type_int) &&
	    !json_object_is_type(value, json_type_double))
		return -EINVAL;
	*out = json_object_get_int64(value);
	return *out < 0 || *out > max ? -ERANGE : 0;
}

/* Returns NULL, or what is wrong with the line. */
static const char *parse_line(struct trace *trace, struct json_object *line)
{
	struct request request = { .first = trace->nr_ids };
	struct json_object *ids;
	int64_t number;
	size_t i, n;

	if (!json_object_is_type(line, json_type_object))
		return "not an object";
	if (get_number(line, "timestamp", INT64_MAX, &number))
		return "no valid timestamp";
	request.timestamp = number;
	if (get_number(line, "input_length", UINT32_MAX, &number))
		return "no valid input_length";
	request.input_length = number;
	if (get_number(line, "output_length", UINT32_MAX, &number))
		return "no valid output_length";
	request.output_length = number;
	if (!json_object_object_get_ex(line, "hash_ids", &ids) ||
	    !json_object_is_type(ids, json_type_array))
		return "no hash_ids array";

	n = json_object_array_length(ids);
	if (n >= 1U << 24)
		return "too many hash_ids";
	for (i = 0; i < n; i++) {
		struct json_object *id = json_object_array_get_idx(ids, i);

		if (!json_object_is_type(id, json_type_int))
			return "a hash_id is not an integer";
		if (trace_add_id(trace, json_object_get_int64(id)))
			return "out of memory";
	}
	request.blocks = n;
	if (trace_add_request(trace, &request))
		return "out of memory";
	return NULL;
}

int trace_load(struct trace *trace, const char *path, size_t limit)
{
	struct json_tokener *tokener;
	size_t size = 0, number = 0;
	char *text = NULL;
	ssize_t length;
	int ret = 0;
	FILE *f;

	memset(trace, 0, sizeof(*trace));
	if (strcmp(path, "-") == 0) {
		f = stdin;
		path = "standard input";
	} else {
		f = fopen(path, "re");
	}
	if (!f) {
		ret = -errno;
		fprintf(stderr, "kvbm-replay: %s: %s\n", path, strerror(-ret));
		return ret;
	}
	tokener = json_tokener_new();
	if (!tokener) {
		ret = -ENOMEM;
		goto close;
	}

	while ((!limit || trace->nr_requests < limit) &&
	       (length = getline(&text, &size, f)) >= 0) {
		struct json_object *line;
		const char *wrong;

		number++;
		if (text[strspn(text, " \t\r\n")] == '\0')
			continue;
		json_tokener_reset(tokener);
		line = json_tokener_parse_ex(tokener, text, length);
		wrong = json_tokener_get_error(tokener) == json_tokener_success ?
			parse_line(trace, line) : "not JSON";
		json_object_put(line);
		if (wrong) {
			fprintf(stderr, "kvbm-replay: %s: line %zu: %s\n",
				path, number, wrong);
			ret = -EINVAL;
			goto out;
		}
	}
	if (ferror(f)) {
		ret = -EIO;
		fprintf(stderr, "kvbm-replay: %s: read error\n", path);
	} else if (!trace->nr_requests) {
		ret = -EINVAL;
		fprintf(stderr, "kvbm-replay: %s: no requests\n", path);
	}
out:
	free(text);
	json_tokener_free(tokener);
close:
	if (f != stdin)
		fclose(f);
	if (ret)
		trace_free(trace);
	return ret;
}

int trace_write(const struct trace *trace, FILE *f)
{
	size_t i, k;

	for (i = 0; i < trace->nr_requests; i++) {
		const struct request *r = &trace->requests[i];

		fprintf(f, "{\"timestamp\": %" PRIu64 ", \"input_length\": %u, "
			"\"output_length\": %u, \"hash_ids\": [",
			r->timestamp, r->input_length, r->output_length);
		for (k = 0; k < r->blocks; k++)
			fprintf(f, "%s%" PRIu64, k ? ", " : "",
				trace->ids[r->first + k]);
		fprintf(f, "]}\n");
	}
	return fflush(f) || ferror(f) ? -EIO : 0;
}
