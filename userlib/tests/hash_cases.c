// SPDX-License-Identifier: MIT
/*
 * What the library makes of the cases of tests/oracle.py: reads one a line,
 * prints a line for each.  A long chain is made in two calls, and from the
 * hashes of its blocks: the three must agree.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kvbm.h>

struct bytes {
	unsigned char *data;
	size_t n;
};

static void die(const char *why)
{
	fprintf(stderr, "hash_cases: %s\n", why);
	exit(2);
}

static void *array(size_t n, size_t size)
{
	void *p = calloc(n + 1, size);

	if (!p)
		die("out of memory");
	return p;
}

static char *word(void)
{
	char *s = strtok(NULL, "\n ");

	if (!s)
		die("a case is too short");
	return s;
}

static uint64_t number(int base)
{
	return strtoull(word(), NULL, base);
}

/* Of exactly as many bytes as are used, so that a sanitizer sees one more. */
static struct bytes octets(void)
{
	struct bytes b = { NULL, 0 };
	char *s = word();
	size_t i;

	if (!strcmp(s, "-"))
		return b;
	b.n = strlen(s) / 2;
	b.data = malloc(b.n);
	if (!b.data)
		die("out of memory");
	for (i = 0; i < b.n; i++) {
		char digits[3] = { s[2 * i], s[2 * i + 1], '\0' };

		b.data[i] = (unsigned char)strtoul(digits, NULL, 16);
	}
	return b;
}

static void print_hash(const struct kvbm_hash *hash)
{
	printf("%016" PRIx64 ":%016" PRIx64, (uint64_t)hash->hi,
	       (uint64_t)hash->lo);
}

/* Tokens are the last word: nothing follows. */
static size_t read_tokens(uint32_t **tokens)
{
	char *s = word(), *p;
	size_t n = 0, i;

	if (strcmp(s, "-"))
		for (n = 1, p = s; *p; p++)
			n += *p == ',';
	*tokens = array(n, sizeof(**tokens));
	for (i = 0; i < n; i++, s++)
		(*tokens)[i] = (uint32_t)strtoull(s, &s, 10);
	return n;
}

static void chain(void)
{
	struct bytes lora = octets(), salt = octets();
	uint32_t size = (uint32_t)number(10), *tokens;
	size_t first = number(10), n, blocks, i;
	struct kvbm_hash *whole, *parts, *made;
	uint64_t *hashes, seed;
	int got;

	n = read_tokens(&tokens);
	blocks = n / size;
	whole = array(blocks, sizeof(*whole));
	parts = array(blocks, sizeof(*parts));
	made = array(blocks, sizeof(*made));
	hashes = array(blocks, sizeof(*hashes));

	seed = kvbm_salt_hash(lora.data, lora.n, salt.data, salt.n);
	got = kvbm_chain(tokens, n, size, seed, whole);
	if (got < 0 || (size_t)got != blocks)
		die("kvbm_chain");
	if (kvbm_chain(tokens, first * size, size, seed, parts) != (int)first ||
	    kvbm_chain_append(first ? &parts[first - 1] : NULL,
			      tokens + first * size, n - first * size, size,
			      seed, parts + first) != (int)(blocks - first))
		die("kvbm_chain_append");
	for (i = 0; i < blocks; i++)
		hashes[i] = kvbm_block_hash(tokens + i * size, size, seed);
	if (kvbm_chain_blocks(NULL, hashes, blocks, made) != (int)blocks)
		die("kvbm_chain_blocks");
	if (memcmp(whole, parts, blocks * sizeof(*whole)) ||
	    memcmp(whole, made, blocks * sizeof(*whole)))
		die("chains of the same tokens differ");

	printf("%016" PRIx64, seed);
	for (i = 0; i < blocks; i++) {
		putchar(' ');
		print_hash(&whole[i]);
	}
	free(lora.data);
	free(salt.data);
	free(tokens);
	free(whole);
	free(parts);
	free(made);
	free(hashes);
}

static void opaque(void)
{
	struct bytes digest = octets(), key = octets();
	uint32_t group = (uint32_t)number(10);
	struct kvbm_hash hash;

	if (kvbm_hash_opaque(digest.data, key.data, key.n, group, &hash))
		printf("invalid");
	else
		print_hash(&hash);
	free(digest.data);
	free(key.data);
}

static void pack(void)
{
	uint64_t current = number(10), parent = number(10);
	uint32_t position = (uint32_t)number(10);
	struct kvbm_hash hash;

	if (kvbm_hash_pack(current, parent, position, &hash))
		printf("invalid");
	else
		print_hash(&hash);
}

static void unpack(void)
{
	struct kvbm_hash_fields f;
	struct kvbm_hash hash;
	char *s = word();

	hash.hi = strtoull(s, &s, 16);
	hash.lo = strtoull(s + 1, NULL, 16);
	if (kvbm_hash_unpack(&hash, &f))
		printf("invalid");
	else
		printf("%u %" PRIu32 " %" PRIu64 " %" PRIu64 " %u", f.mode,
		       f.position, f.current, f.parent, f.parent_bits);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} kinds[] = {
		{ "chain", chain }, { "opaque", opaque },
		{ "pack", pack }, { "unpack", unpack },
	};
	size_t room = 0, i;
	char *line = NULL;

	while (getline(&line, &room, stdin) > 0) {
		char *kind = strtok(line, "\n ");

		for (i = 0; kind && i < 4; i++)
			if (!strcmp(kind, kinds[i].name))
				break;
		if (!kind || i == 4)
			die("not a case");
		kinds[i].run();
		putchar('\n');
	}
	free(line);
	return ferror(stdin) || fflush(stdout) || ferror(stdout) ? 2 : 0;
}
