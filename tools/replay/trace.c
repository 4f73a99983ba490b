// SPDX-License-Identifier: MIT
/* Reading and writing request traces. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <kvbm.h>

#include "memory.h"
#include "trace.h"

static int grow(void **array, size_t n, size_t size)
{
	void *bigger;

	/* Doubles at every power of two. */
	if (n & (n - 1))
		return 0;
	if (enough_memory("the trace", n * size))
		return -ENOMEM;
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

int trace_repeat(struct trace *trace, uint32_t times)
{
	size_t i, nr = trace->nr_requests;
	struct request *requests;

	if (times <= 1)
		return 0;
	requests = calloc(nr * times, sizeof(*requests));
	if (!requests)
		return -ENOMEM;
	for (i = 0; i < nr * times; i++)
		requests[i] = trace->requests[i / times];
	free(trace->requests);
	trace->requests = requests;
	trace->nr_requests = nr * times;
	return 0;
}

void trace_free(struct trace *trace)
{
	free(trace->requests);
	free(trace->ids);
	memset(trace, 0, sizeof(*trace));
}

/*
 * A reader for one line of JSON.  json-c would saturate numbers
 * (2^64 to 2^64 - 1) and take the last of two equal keys, strict or
 * not; but ids are names, and must be exact.
 */
struct reader {
	const char *p;
	const char *wrong;	/* the first thing that is, or NULL */
	unsigned int depth;
};

#define MAX_DEPTH	32
#define NOT_JSON	"not JSON"

static bool refuse(struct reader *r, const char *wrong)
{
	if (!r->wrong)
		r->wrong = wrong;
	return false;
}

static char next(struct reader *r)
{
	r->p += strspn(r->p, " \t\r\n");
	return *r->p;
}

static bool skip(struct reader *r, char c)
{
	if (next(r) != c)
		return false;
	r->p++;
	return true;
}

static bool expect(struct reader *r, char c)
{
	return skip(r, c) || refuse(r, NOT_JSON);
}

static bool read_string(struct reader *r, const char **start, size_t *length)
{
	if (!expect(r, '"'))
		return false;
	for (*start = r->p; *r->p != '"'; r->p++) {
		if ((unsigned char)*r->p < ' ')
			return refuse(r, NOT_JSON);
		if (*r->p != '\\')
			continue;
		r->p++;
		if (!*r->p || !strchr("\"\\/bfnrtu", *r->p))
			return refuse(r, NOT_JSON);
		if (*r->p == 'u' &&
		    strspn(r->p + 1, "0123456789abcdefABCDEF") < 4)
			return refuse(r, NOT_JSON);
	}
	*length = r->p++ - *start;
	return true;
}

/* A number as JSON has it: its sign, whole part, fraction and exponent. */
struct number {
	bool negative;
	bool too_large;		/* for 64 bits */
	bool broken;		/* a fraction that is not 0, or an exponent */
	bool fraction;		/* one that is 0 */
	uint64_t whole;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool read_number(struct reader *r, struct number *n)
{
	memset(n, 0, sizeof(*n));
	n->negative = skip(r, '-');
	if (!is_digit(*r->p) || (r->p[0] == '0' && is_digit(r->p[1])))
		return refuse(r, NOT_JSON);
	for (; is_digit(*r->p); r->p++)
		if (__builtin_mul_overflow(n->whole, 10, &n->whole) ||
		    __builtin_add_overflow(n->whole, *r->p - '0', &n->whole))
			n->too_large = true;
	if (*r->p == '.') {
		if (!is_digit(*++r->p))
			return refuse(r, NOT_JSON);
		n->fraction = true;
		for (; is_digit(*r->p); r->p++)
			n->broken |= *r->p != '0';
	}
	if (*r->p == 'e' || *r->p == 'E') {
		n->broken = true;
		r->p++;
		r->p += *r->p == '+' || *r->p == '-';
		if (!is_digit(*r->p))
			return refuse(r, NOT_JSON);
		r->p += strspn(r->p, "0123456789");
	}
	return true;
}

static bool skip_value(struct reader *r);

static bool skip_items(struct reader *r, char end)
{
	const char *key;
	size_t length;

	if (++r->depth > MAX_DEPTH)
		return refuse(r, "nested too deep");
	if (!skip(r, end)) {
		do {
			if (end == '}' && (!read_string(r, &key, &length) ||
					   !expect(r, ':')))
				return false;
			if (!skip_value(r))
				return false;
		} while (skip(r, ','));
		if (!expect(r, end))
			return false;
	}
	r->depth--;
	return true;
}

static bool skip_value(struct reader *r)
{
	static const char *const words[] = { "true", "false", "null" };
	struct number number;
	const char *start;
	size_t length, i;

	switch (next(r)) {
	case '"':
		return read_string(r, &start, &length);
	case '[':
		r->p++;
		return skip_items(r, ']');
	case '{':
		r->p++;
		return skip_items(r, '}');
	}
	for (i = 0; i < 3; i++) {
		length = strlen(words[i]);
		if (!strncmp(r->p, words[i], length)) {
			r->p += length;
			return true;
		}
	}
	return read_number(r, &number);
}

static bool starts_number(struct reader *r)
{
	char c = next(r);

	return c == '-' || is_digit(c);
}

/* Some tools write whole numbers as 12.0. */
static bool read_whole(struct reader *r, const char *what, uint64_t max,
		       uint64_t *value)
{
	struct number n;

	if (!starts_number(r))
		return refuse(r, what);
	if (!read_number(r, &n))
		return false;
	if (n.negative || n.too_large || n.broken || n.whole > max)
		return refuse(r, what);
	*value = n.whole;
	return true;
}

static bool read_ids(struct reader *r, struct trace *trace)
{
	struct number n;

	if (!skip(r, '['))
		return refuse(r, "hash_ids is no array");
	if (skip(r, ']'))
		return true;
	do {
		if (!starts_number(r))
			return refuse(r, "a hash_id is not an integer");
		if (!read_number(r, &n))
			return false;
		/* A fraction was a double once, and lost bits. */
		if (n.negative || n.too_large || n.broken || n.fraction)
			return refuse(r, "a hash_id is not an integer from 0 to 2^64 - 1");
		if (trace_add_id(trace, n.whole))
			return refuse(r, "out of memory");
	} while (skip(r, ','));
	return expect(r, ']');
}

enum field {
	FIELD_TIMESTAMP,
	FIELD_INPUT,
	FIELD_OUTPUT,
	FIELD_IDS,
	NR_FIELDS,
};

static const struct {
	const char *name;
	const char *missing;
	const char *twice;
} fields[NR_FIELDS] = {
#define FIELD(name) { name, "no " name, name " twice" }
	[FIELD_TIMESTAMP] = FIELD("timestamp"),
	[FIELD_INPUT] = FIELD("input_length"),
	[FIELD_OUTPUT] = FIELD("output_length"),
	[FIELD_IDS] = FIELD("hash_ids"),
#undef FIELD
};

static bool read_field(struct reader *r, enum field which,
		       struct trace *trace, struct request *request)
{
	uint64_t value = 0;

	switch (which) {
	case FIELD_TIMESTAMP:
		return read_whole(r, "timestamp is not a whole number of ms below 2^64",
				  UINT64_MAX, &request->timestamp);
	case FIELD_INPUT:
		if (!read_whole(r, "input_length is not a whole number below 2^32",
				UINT32_MAX, &value))
			return false;
		request->input_length = value;
		return true;
	case FIELD_OUTPUT:
		if (!read_whole(r, "output_length is not a whole number below 2^32",
				UINT32_MAX, &value))
			return false;
		request->output_length = value;
		return true;
	default:
		return read_ids(r, trace);
	}
}

static bool read_member(struct reader *r, struct trace *trace,
			struct request *request, bool seen[NR_FIELDS])
{
	const char *key;
	size_t length;
	int i;

	if (!read_string(r, &key, &length) || !expect(r, ':'))
		return false;
	for (i = 0; i < NR_FIELDS; i++) {
		if (strlen(fields[i].name) != length ||
		    memcmp(fields[i].name, key, length))
			continue;
		if (seen[i])
			return refuse(r, fields[i].twice);
		seen[i] = true;
		return read_field(r, i, trace, request);
	}
	return skip_value(r);
}

/* Parse @text; returns NULL, or what is wrong with it, and where in *@at. */
static const char *parse_line(struct trace *trace, const char *text,
			      size_t length, const char **at)
{
	struct request request = { .first = trace->nr_ids };
	struct reader r = { .p = text };
	bool seen[NR_FIELDS] = { false };
	int i;

	*at = text;
	if (strlen(text) != length)
		return "a NUL byte";
	if (!skip(&r, '{')) {
		if (skip_value(&r))
			refuse(&r, "not an object");
	} else if (!skip(&r, '}')) {
		while (read_member(&r, trace, &request, seen) && skip(&r, ','))
			;
		expect(&r, '}');
	}
	if (!r.wrong && next(&r) == '{')
		refuse(&r, "a second object");
	if (!r.wrong && *r.p)
		refuse(&r, NOT_JSON);
	for (i = 0; i < NR_FIELDS; i++)
		if (!seen[i])
			refuse(&r, fields[i].missing);

	if (trace->nr_ids - request.first > KVBM_MAX_POSITIONS)
		refuse(&r, "more than 2^24 hash_ids");
	request.blocks = trace->nr_ids - request.first;
	if (!r.wrong && trace_add_request(trace, &request))
		refuse(&r, "out of memory");
	*at = r.p;
	return r.wrong;
}

int trace_load(struct trace *trace, const char *path, size_t limit)
{
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

	while ((!limit || trace->nr_requests < limit) &&
	       (length = getline(&text, &size, f)) >= 0) {
		const char *wrong, *at;

		number++;
		if (text[strspn(text, " \t\r\n")] == '\0' &&
		    strlen(text) == (size_t)length)
			continue;
		wrong = parse_line(trace, text, length, &at);
		if (wrong) {
			fprintf(stderr, "kvbm-replay: %s: line %zu: %s (at column %td)\n",
				path, number, wrong, at - text + 1);
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
