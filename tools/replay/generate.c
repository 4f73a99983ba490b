// SPDX-License-Identifier: MIT
/*
 * A request trace generated from published statistics.
 *
 * Conversations arrive as a Poisson process.  A conversation begins with one of
 * a number of system prompts, or with a shared document, then comes the user's
 * text; every further turn extends the previous prompt by the previous answer
 * and new text.  Ids are given to blocks of 512 tokens: the full blocks of a
 * conversation keep theirs from turn to turn, the last, partial one has a new
 * id every time, as in the traces that were published with Mooncake.
 *
 * Where the numbers come from:
 *
 * [M] Measured on conversation_trace.jsonl of Mooncake (Qin et al., FAST '25;
 * github.com/kvcache-ai/Mooncake, FAST25-release/traces), 12,031 requests of
 * one hour: 3.4 requests a second; first prompts and all prompts together
 * lognormal (median 6,909 tokens, sigma 1.2, at most 126,195); answers with
 * median 350 and mean 343 tokens; a conversation ends after its turn t with a
 * probability near 0.75 / t^0.4; 123 s between turns in the median (10 % below
 * 42 s, 90 % below 483 s); the user's next text has a median of 26 tokens, a
 * quarter exceeds 384, a tenth 4,369; about 6 % of first turns share more than
 * the system prompt with another. [T] The same release's README and paper
 * describe its trace of tools and agents: 23,608 requests of one hour; 8,596
 * tokens of input in the mean, 182 of output; of all block accesses 59 % are
 * hits if nothing is ever evicted. Long system prompts are shared: the README's
 * example has 12 blocks of one. [W] Wang et al., "KVCache Cache in the Wild",
 * USENIX ATC '25 (arXiv:2506.02634): reuse is skewed, 10 % of the blocks have
 * 77 % of the reuses, and in chat 80 % of the reuses come within ten minutes.
 *
 * Chosen by us, since nobody publishes it: the number of system prompts, their
 * lengths, the exponent of the Zipf laws, the number of shared documents; for
 * tools and agents the sigmas, and how often one continues.
 */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "trace.h"

#define MAX_INPUT	126000U		/* tokens of one prompt [M] */
#define MAX_OUTPUT	2000U		/* tokens of one answer [M] */
#define DOCUMENTS	100U
#define MEAN_BLOCKS	26U		/* of a resulting request */

/* Tokens: a lognormal distribution. */
struct length {
	double median, sigma;
};

/**
 * struct shape - what requests are like
 * @name: of --like
 * @rate: requests a second, unless given
 * @prompt: tokens of a system prompt
 * @text: of a conversation's first text
 * @answer: of an answer
 * @documents: share of conversations that begin with a document
 * @ends: a conversation ends after turn t with probability @ends / t^@decay
 * @decay: see @ends
 * @turns: of a conversation, in the mean: it follows from these
 */
struct shape {
	const char *name;
	double rate;
	struct length prompt, text, answer;
	double documents, ends, decay, turns;
};

static const struct shape shapes[] = {
	{
		.name = "conversation", .rate = 3.4,			/* [M] */
		.prompt = { 1500, 0.8 }, .text = { 4500, 1.4 },
		.answer = { 300, 0.8 }, .documents = 0.06,		/* [M] */
		.ends = 0.75, .decay = 0.4, .turns = 1.49,		/* [M] */
	},
	{
		.name = "toolagent", .rate = 6.56,			/* [T] */
		.prompt = { 5600, 0.5 }, .text = { 1550, 1.2 },
		.answer = { 132, 0.8 }, .documents = 0,			/* [T] */
		.ends = 0.9, .decay = 0, .turns = 1.11,
	},
};

/* xoshiro256** by Blackman and Vigna, seeded by splitmix64. */
struct random {
	uint64_t s[4];
};

/* A text that many conversations begin with. */
struct text {
	uint64_t *ids;
	uint32_t tokens;
	double weight;		/* cumulative */
};

struct conversation {
	uint64_t *ids;		/* of the full blocks so far */
	double time;		/* of the next turn, seconds */
	uint32_t tokens;	/* of the next prompt */
	uint32_t full;		/* full blocks that have their ids */
	uint32_t turn;
};

struct maker {
	const struct generator *gen;
	const struct shape *shape;
	struct trace *trace;
	struct random random;
	struct text *prompts;
	struct text documents[DOCUMENTS];
	struct conversation **heap;	/* by time */
	size_t waiting;
	uint64_t next_id;
};

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static uint64_t next_random(struct random *r)
{
	uint64_t result = rotl(r->s[1] * 5, 7) * 9;
	uint64_t t = r->s[1] << 17;

	r->s[2] ^= r->s[0];
	r->s[3] ^= r->s[1];
	r->s[1] ^= r->s[2];
	r->s[0] ^= r->s[3];
	r->s[2] ^= t;
	r->s[3] = rotl(r->s[3], 45);
	return result;
}

static void seed_random(struct random *r, uint64_t seed)
{
	int i;

	for (i = 0; i < 4; i++) {
		uint64_t z = seed += 0x9e3779b97f4a7c15ULL;

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
		z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
		r->s[i] = z ^ z >> 31;
	}
}

/* In (0, 1]. */
static double uniform(struct random *r)
{
	return ((next_random(r) >> 11) + 1) * 0x1p-53;
}

static double exponential(struct random *r, double mean)
{
	return -log(uniform(r)) * mean;
}

static double lognormal(struct random *r, double median, double sigma)
{
	double radius = sqrt(-2 * log(uniform(r)));
	double normal = radius * cos(2 * M_PI * uniform(r));

	return median * exp(sigma * normal);
}

static uint32_t tokens(struct random *r, struct length length, double max)
{
	double n = lognormal(r, length.median, length.sigma);

	return n < 1 ? 1 : n > max ? max : n;
}

static const struct text *pick(struct random *r, const struct text *texts,
			       uint32_t n)
{
	double point = uniform(r) * texts[n - 1].weight;
	uint32_t low = 0, high = n - 1;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (texts[middle].weight < point)
			low = middle + 1;
		else
			high = middle;
	}
	return &texts[low];
}

/*
 * Shared texts, at the beginning of prompts, so their full blocks are shared.
 */
static int make_texts(struct maker *m, struct text *texts, uint32_t n,
		      struct length length)
{
	double weight = 0;
	uint32_t i, k;

	for (i = 0; i < n; i++) {
		uint32_t full;

		weight += pow(i + 1, -m->gen->zipf);
		texts[i].weight = weight;
		texts[i].tokens = tokens(&m->random, length, MAX_INPUT / 4);
		full = texts[i].tokens / TRACE_BLOCK_TOKENS;
		texts[i].ids = calloc(full + 1, sizeof(*texts[i].ids));
		if (!texts[i].ids)
			return -ENOMEM;
		for (k = 0; k < full; k++)
			texts[i].ids[k] = m->next_id++;
	}
	return 0;
}

static void sift_down(struct maker *m, size_t i)
{
	for (;;) {
		size_t child = 2 * i + 1;
		struct conversation *c = m->heap[i];

		if (child >= m->waiting)
			return;
		if (child + 1 < m->waiting &&
		    m->heap[child + 1]->time < m->heap[child]->time)
			child++;
		if (c->time <= m->heap[child]->time)
			return;
		m->heap[i] = m->heap[child];
		m->heap[child] = c;
		i = child;
	}
}

static void push(struct maker *m, struct conversation *c)
{
	size_t i = m->waiting++;

	while (i && c->time < m->heap[(i - 1) / 2]->time) {
		m->heap[i] = m->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	m->heap[i] = c;
}

static struct conversation *pop(struct maker *m)
{
	struct conversation *first = m->heap[0];

	m->heap[0] = m->heap[--m->waiting];
	sift_down(m, 0);
	return first;
}

static void end_conversation(struct conversation *c)
{
	free(c->ids);
	free(c);
}

static struct conversation *begin_conversation(struct maker *m, double time)
{
	struct conversation *c = calloc(1, sizeof(*c));
	struct random *r = &m->random;
	const struct text *text;

	if (!c)
		return NULL;
	c->ids = calloc(MAX_INPUT / TRACE_BLOCK_TOKENS + 1, sizeof(*c->ids));
	if (!c->ids) {
		free(c);
		return NULL;
	}
	text = uniform(r) <= m->shape->documents ?
	       pick(r, m->documents, DOCUMENTS) :
	       pick(r, m->prompts, m->gen->prompts);
	c->full = text->tokens / TRACE_BLOCK_TOKENS;
	memcpy(c->ids, text->ids, c->full * sizeof(*c->ids));
	c->tokens = text->tokens + tokens(r, m->shape->text, MAX_INPUT / 2);
	c->time = time;
	c->turn = 1;
	return c;
}

/* Writes the request; returns 1 if another turn follows, 0 if not. */
static int take_turn(struct maker *m, struct conversation *c)
{
	struct random *r = &m->random;
	struct request request = {
		.timestamp = c->time * 1000,
		.first = m->trace->nr_ids,
		.input_length = c->tokens,
		.output_length = tokens(r, m->shape->answer, MAX_OUTPUT),
	};
	uint32_t i, full = c->tokens / TRACE_BLOCK_TOKENS;

	while (c->full < full)
		c->ids[c->full++] = m->next_id++;
	for (i = 0; i < full; i++)
		if (trace_add_id(m->trace, c->ids[i]))
			return -ENOMEM;
	if (c->tokens % TRACE_BLOCK_TOKENS &&
	    trace_add_id(m->trace, m->next_id++))
		return -ENOMEM;
	request.blocks = m->trace->nr_ids - request.first;
	if (trace_add_request(m->trace, &request))
		return -ENOMEM;

	if (uniform(r) <= m->shape->ends * pow(c->turn, -m->shape->decay))
		return 0;
	c->turn++;
	c->time += lognormal(r, 123, 1.07);
	c->tokens += request.output_length;
	/* Mostly a sentence, now and then a text pasted in. */
	c->tokens += tokens(r, uniform(r) <= 0.7 ? (struct length){ 20, 1 } :
			       (struct length){ 1700, 1.4 }, MAX_INPUT);
	return c->tokens <= MAX_INPUT;
}

/* Ids in order of first use, as in the published traces. */
static int renumber(struct trace *trace, uint64_t nr_ids)
{
	uint64_t *name = calloc(nr_ids + 1, sizeof(*name));
	uint64_t used = 0;
	size_t i;

	if (!name)
		return -ENOMEM;
	for (i = 0; i < trace->nr_ids; i++) {
		uint64_t id = trace->ids[i];

		if (!name[id])
			name[id] = ++used;
		trace->ids[i] = name[id] - 1;
	}
	free(name);
	return 0;
}

static int make(struct maker *m)
{
	const struct generator *gen = m->gen;
	double rate = gen->rate ?: m->shape->rate;
	double arrival = 0;
	int ret;

	while (m->trace->nr_requests < gen->requests) {
		struct conversation *c;

		/* The next event: a new conversation or another turn. */
		if (!m->waiting || arrival <= m->heap[0]->time) {
			c = begin_conversation(m, arrival);
			if (!c)
				return -ENOMEM;
			arrival += exponential(&m->random,
					       m->shape->turns / rate);
		} else {
			c = pop(m);
		}
		ret = take_turn(m, c);
		if (ret > 0)
			push(m, c);
		else
			end_conversation(c);
		if (ret < 0)
			return ret;
	}
	return renumber(m->trace, m->next_id);
}

static const struct shape *shape_of(const char *name)
{
	unsigned int i;

	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (!name || !strcmp(name, shapes[i].name))
			return &shapes[i];
	return NULL;
}

bool trace_is_shape(const char *name)
{
	return shape_of(name);
}

int trace_generate(struct trace *trace, const struct generator *gen)
{
	struct maker m = { .gen = gen, .trace = trace,
			   .shape = shape_of(gen->like) };
	uint32_t i;
	int ret;

	memset(trace, 0, sizeof(*trace));
	if (!m.shape || !gen->requests || !gen->prompts || !(gen->rate >= 0) ||
	    !(gen->zipf >= 0))
		return -EINVAL;

	/* Can nearly be known beforehand: fail now, not after minutes. */
	if (enough_memory("the trace",
			  gen->requests * (sizeof(struct request) +
					   MEAN_BLOCKS * sizeof(uint64_t))))
		return -ENOMEM;
	seed_random(&m.random, gen->seed);
	m.prompts = calloc(gen->prompts, sizeof(*m.prompts));
	m.heap = calloc(gen->requests + 1, sizeof(*m.heap));
	ret = -ENOMEM;
	if (m.prompts && m.heap)
		ret = make_texts(&m, m.prompts, gen->prompts,
				 m.shape->prompt);
	if (!ret)
		ret = make_texts(&m, m.documents, DOCUMENTS,
				 (struct length){ 6900, 1.0 });
	if (!ret)
		ret = make(&m);

	while (m.waiting)
		end_conversation(pop(&m));
	for (i = 0; m.prompts && i < gen->prompts; i++)
		free(m.prompts[i].ids);
	for (i = 0; i < DOCUMENTS; i++)
		free(m.documents[i].ids);
	free(m.prompts);
	free(m.heap);
	if (ret)
		trace_free(trace);
	return ret;
}
