/* SPDX-License-Identifier: MIT */
/*
 * order.pml - weak memory ordering
 *
 * A processor may execute the accesses of a thread in any order that nothing
 * forbids. Each thread here is a set of accesses, each done once, in any order
 * that respects what the kernel's memory model guarantees: acquire and release,
 * full barriers, accesses to one place, a store after the branch that it depends
 * on, an address after the load that made it, and unlock after lock. A store is
 * seen by all others at once, as on arm64 and riscv (other-multicopy atomic).
 *
 * -DHOLD	publication and recycling of a slot against find_chunk() and
 *		get_unlocked()
 *		mistakes: NO_ACQUIRE, NO_RELEASE, NO_TAG, RETRY_BLIND
 * -DLINE	a look-up in two words of a line (or in a line and what overflowed
 *		it) while entries around the one looked for come and go
 *		mistakes: MOVE, ENTRY_LATE
 * -DFURTHER	a look-up in a first line, its filter, a second line and the overflow
 *		table, while others come to each of these and go
 *		mistakes: MOVE, UNCOUNTED, FILTER_LATE, USED_LATE, STOP
 * -DPLACE	a look-up of one of two entries with its tag, while the other's place
 *		goes to a block that has another tag and the same bits in its entry
 *		mistake: BLIND
 * -DPREFIX	a match of A and C, where C was looked for ahead of its turn, and
 *		comes to its first line or goes further
 *		mistakes: BELIEVE, NO_ACQUIRE, ONLY_FURTHER
 * -DLAST	a look at a held block without the store's lock, put_unlocked(), and
 *		what becomes of the slot after the last reference
 *		mistake: NO_RELEASE
 * -DPAGE	a page of counts: kvbm_holds_add_page() against kvbm_count()
 *		mistake: NO_RELEASE
 * -DSLEEP	a waiter's granted flag against its sleep
 *		mistakes: NO_BARRIER, NO_WAKE_BARRIER
 */
#define MAKE(gen, primary, refs)	((gen) << 4 | (primary) << 3 | (refs))
#define ACTIVE(w)	((w) >> 3 & 1 && ((w) & 7) > 0)
#define REFS(w)		((w) & 7)
#define TAG(w)		((w) >> 3)

#ifdef HOLD

/* Generation 0 under key 0, held once; becomes generation 1 under key 1. */
byte word = MAKE(0, 1, 1);
byte key = 0;
bit gone;

/*
 * Who has the only hold gives it back, evicts the slot, writes another key and
 * publishes it. Between the first two and the last two lies an unlock and a lock
 * of the store's lock.
 */
proctype recycler()
{
	bit evicted, written, published;

	/* put: a compare-and-swap, the rest hangs on its success */
	atomic {
		if
		:: REFS(word) == 1 -> word = MAKE(0, 1, 0)
		:: else -> word--; goto out
		fi
	}
	do
	:: d_step { !evicted && word == MAKE(0, 1, 0) ->
		word = MAKE(1, 0, 0); gone = 1; evicted = 1 }
	:: d_step { !written && evicted ->
		key = 1; written = 1 }
#ifdef NO_RELEASE
	:: d_step { !published && evicted ->
#else
	:: d_step { !published && evicted && written ->
#endif
		word = MAKE(1, 1, 1); published = 1 }
	:: evicted && written && published -> break
	od;
out:
	skip
}

/*
 * Look-up, word, key, word again, swap, and after a failed swap another from
 * what that found. A key may be read as early as what it must come after allows.
 */
proctype reader(byte want)
{
	byte seen, w, found;
	bit read_word, read_key, read_again, failed;

	/* The look-up met the key. */
	atomic {
		if
		:: key == want
		:: else -> goto out
		fi
	}
	do
	:: d_step { !read_word -> seen = word; read_word = 1 }
#ifdef NO_ACQUIRE
	:: d_step { !read_key -> found = key; read_key = 1 }
#else
	:: d_step { !read_key && read_word -> found = key; read_key = 1 }
#endif
	/* One place: not older than what was seen of it. */
	:: d_step { read_word && !read_again -> w = word; read_again = 1 }
	/* The swap's store comes after the branches on words and key. */
	:: read_word && read_key && read_again ->
		if
		:: !ACTIVE(w) || found != want -> break
#ifndef NO_TAG
#ifdef RETRY_BLIND
		:: !failed && TAG(w) != TAG(seen) -> break
#else
		:: TAG(w) != TAG(seen) -> break
#endif
#endif
		:: else
		fi;
		d_step {
			if
			:: word == w ->
				word = w + 1;
				assert(key == want && ACTIVE(word));
				read_again = 0
			:: else ->
				w = word
			fi
		};
		if
		:: !read_again || failed -> break
		:: else -> failed = 1
		fi
	od;
out:
	skip
}

init {
	atomic {
		run recycler();
		run reader(0);
		run reader(1);
		/* Another hold and release, so that swaps fail. */
		run reader(0)
	}
}

#endif
#ifdef LINE

/*
 * Two places with a word of tags each, all of one tag. Slot 0 carries key 0 and
 * is registered all the time, in place 1; slot 1 leaves place 0 and comes back
 * with key 2; slot 2 comes with key 1 and is told of when it is there.
 */
bit tag[3];
byte entry[3];
byte key[3];
bit told;

proctype writer()
{
	bit freed, moved, keyed, entered, tagged;

	/* Under the store's lock, one removal or insertion after the other. */
	tag[0] = 0;
#ifdef MOVE
	/* An entry moves to the place before it that became free. */
	entry[0] = 0;
	tag[0] = 1;
	tag[1] = 0;
	entry[1] = 1;
	key[1] = 2;
	tag[1] = 1;
#else
	key[1] = 2;
	entry[0] = 1;
	tag[0] = 1;
#endif
	/* key, entry, tag: in any order that nothing forbids */
	do
	:: d_step { !keyed -> key[2] = 1; keyed = 1 }
	:: d_step { !entered -> entry[2] = 2; entered = 1 }
#ifdef ENTRY_LATE
	:: d_step { !tagged -> tag[2] = 1; told = 1; tagged = 1 }
#else
	:: d_step { !tagged && keyed && entered ->
		tag[2] = 1; told = 1; tagged = 1 }
#endif
	:: keyed && entered && tagged -> break
	od
}

/*
 * All words of tags, in any order; of each that was set, the entry whose address
 * depends on it, and the slot's key whose address depends on that.
 */
proctype looker(byte want)
{
	bit seen[3], found, was_told;
	byte i, e;

	was_told = told;
	do
	:: d_step { !seen[0] -> seen[0] = 1; i = 0; e = tag[0] }
		if
		:: e -> e = entry[0]; if :: key[e] == want -> found = 1 :: else fi
		:: else
		fi
	:: d_step { !seen[1] -> seen[1] = 1; i = 1; e = tag[1] }
		if
		:: e -> e = entry[1]; if :: key[e] == want -> found = 1 :: else fi
		:: else
		fi
	:: d_step { !seen[2] -> seen[2] = 1; i = 2; e = tag[2] }
		if
		:: e -> e = entry[2]; if :: key[e] == want -> found = 1 :: else fi
		:: else
		fi
	:: seen[0] && seen[1] && seen[2] -> break
	od;
	/* Registered from before the look-up began to its end. */
	assert(found || want == 1 && !was_told)
}

init {
	atomic {
		tag[0] = 1; entry[0] = 1; key[1] = 9;
		tag[1] = 1; entry[1] = 0; key[0] = 0;
		entry[2] = 0; key[2] = 8;
		run writer();
		run looker(0);
		run looker(1)
	}
}

#endif
#ifdef FURTHER

/*
 * All keys here are alike: of one tag, and with one bit of the filter. Slot 0
 * carries key 0 and is registered all the time, in the second line. Slot 1 is in
 * the first line with another key, leaves, and comes back with yet another. Slot 2
 * went further, too, and leaves. Slot 3 comes with key 1 to the overflow table,
 * which was empty, from a first line of its own, and is told of when it is there.
 */
bit tag1, filter[2], tag2[2], used, over;
byte entry1, entry2[2], count;
byte key[4];
bit told;

proctype writer()
{
	bit keyed, filtered, counted, linked, said;

	/* Under the store's lock, one removal or insertion after the other. */
	tag1 = 0;
#ifdef MOVE
	/* The first line has room now for who went further. */
	entry1 = 0;
	tag1 = 1;
	tag2[0] = 0;
	count--;
#else
	key[1] = 6;
	tag1 = 1;
#endif
	tag2[1] = 0;
	count--;
#ifdef UNCOUNTED
	filter[0] = 0;
#else
	if
	:: count == 0 -> filter[0] = 0
	:: else
	fi;
#endif
	/* key, node, numbers, word: in any order that nothing forbids */
	do
	:: d_step { !keyed -> key[3] = 1; keyed = 1 }
	:: d_step { !linked && keyed -> over = 1; linked = 1 }
	:: d_step { !counted -> used = 1; counted = 1 }
	:: d_step { !filtered -> filter[1] = 1; filtered = 1 }
	/* The word says that it is registered: a release. */
	:: d_step { !said && keyed && linked &&
#ifndef USED_LATE
		counted &&
#endif
#ifndef FILTER_LATE
		filtered &&
#endif
		1 -> told = 1; said = 1 }
	:: keyed && linked && counted && filtered && said -> break
	od
}

/*
 * kvbm_index_candidate(), find_again and find_further. All words in any order: the
 * branches between them decide what is believed, not when it was read. Of each tag
 * that was set, the entry, and the slot's key, whose addresses depend on it.
 */
proctype looker(byte want)
{
	bit seen[6], first, went, second, some, last, found, was_told;
	byte e;

	was_told = told;
	do
	:: d_step { !seen[0] -> seen[0] = 1; e = tag1 && want == 0 }
		if
		:: e -> e = entry1;
			if
			:: key[e] == want -> first = 1
#ifdef STOP
			/* Who looks like it has its place. */
			:: else -> goto out
#else
			:: else
#endif
			fi
		:: else
		fi
	:: d_step { !seen[1] -> went = filter[want]; seen[1] = 1 }
	:: d_step { !seen[2] -> seen[2] = 1; e = tag2[0] }
		if
		:: e -> e = entry2[0];
			if :: key[e] == want -> second = 1 :: else fi
		:: else
		fi
	:: d_step { !seen[3] -> seen[3] = 1; e = tag2[1] }
		if
		:: e -> e = entry2[1];
			if :: key[e] == want -> second = 1 :: else fi
		:: else
		fi
	:: d_step { !seen[4] -> some = used; seen[4] = 1 }
	:: d_step { !seen[5] -> seen[5] = 1; e = over }
		if
		:: e && key[3] == want -> last = 1
		:: else
		fi
	:: seen[0] && seen[1] && seen[2] && seen[3] && seen[4] && seen[5] ->
		break
	od;
	found = first || (went && (second || (some && last)));
out:
	/* Registered from before the look-up began to its end. */
	assert(found || want == 1 && !was_told)
}

init {
	atomic {
		tag1 = 1; entry1 = 1; key[1] = 5;
		tag2[0] = 1; entry2[0] = 0; key[0] = 0;
		tag2[1] = 1; entry2[1] = 2; key[2] = 7;
		count = 2; filter[0] = 1;
		key[3] = 8;
		run writer();
		if
		:: run looker(0)
		:: run looker(1)
		fi
	}
}

#endif
#ifdef PLACE

/*
 * One word of tags with two places. Slot 0 carries key 0 and is registered all the
 * time, in place 1. Slot 1, in place 0, has its tag, but other bits in the entry; slot 2
 * comes to its place with another tag, and with these bits. So no two are alike.
 */
#define TAG_KEY		1
#define TAG_OTHER	2

byte tag[2], bits[2], entry[2], hash[3], key[3];

proctype writer()
{
	bit hashed, entered, tagged;

	tag[0] = 0;
	do
	:: d_step { !hashed -> hash[2] = TAG_OTHER; key[2] = 2; hashed = 1 }
	:: d_step { !entered -> entry[0] = 2; bits[0] = 0; entered = 1 }
	/* smp_store_release() */
	:: d_step { !tagged && hashed && entered -> tag[0] = TAG_OTHER; tagged = 1 }
	:: tagged -> break
	od
}

/*
 * kvbm_index_candidate(): the tags at once, then the entry whose address depends on
 * them, whose slot is compared. Where that is another's, its hash says if it is alike.
 */
proctype looker()
{
	bit first, second, found;
	byte e;

	d_step { first = (tag[0] == TAG_KEY); second = (tag[1] == TAG_KEY) }
	if
	:: first ->
		d_step { e = entry[0]; first = (bits[0] == 0) }
		if
		:: first ->
			if
			:: key[e] == 0 -> found = 1
			:: else
			fi
		:: else
		fi
	:: else
	fi;
	if
	:: !found && first ->
#ifdef BLIND
		/* Who passed both looks hides all others. */
		goto out
#else
		if
		:: hash[e] == TAG_KEY -> goto out
		:: else
		fi
#endif
	:: else
	fi;
	/* The other entry with the tag, or the line once more. */
	if
	:: !found && tag[1] == TAG_KEY && bits[1] == 0 -> found = (key[entry[1]] == 0)
	:: else
	fi;
out:
	assert(found)
}

init {
	atomic {
		tag[0] = TAG_KEY; bits[0] = 1; entry[0] = 1;
		hash[1] = TAG_KEY; key[1] = 1;
		tag[1] = TAG_KEY; bits[1] = 0; entry[1] = 0;
		hash[0] = TAG_KEY; key[0] = 0;
		key[2] = 9;
		run writer();
		run looker()
	}
}

#endif
#ifdef PREFIX

bit a;			/* registered */
bit c1, filter, c2;	/* C: in its first line; or further, which that one says */

/* C comes first and stays; unlock and lock lie between. */
proctype writer()
{
	if
	:: c1 = 1
	:: c2 = 1; filter = 1
	fi;
	a = 1
}

/*
 * What find_again reads, in any order after what it may not be read before: the
 * filter and the second line for find_further, then the first line and, of what was
 * read already, the same once more.
 */
proctype matcher()
{
	bit early, saw, held, looked, one, two, three, first, went, second;

	early = c1;
	do
	/* Found, compared and held: the swap has acquire semantics. */
	:: d_step { !looked -> held = a; looked = 1 }
#ifdef NO_ACQUIRE
	:: d_step { !one -> first = c1; one = 1 }
	:: d_step { !two -> went = filter; two = 1 }
	:: d_step { !three -> second = c2; three = 1 }
#else
	:: d_step { !one && looked -> first = c1; one = 1 }
	:: d_step { !two && looked -> went = filter; two = 1 }
	:: d_step { !three && looked -> second = c2; three = 1 }
#endif
	:: looked && one && two && three -> break
	od;
	saw = went && second;
#ifdef BELIEVE
	/* No candidate: not looked for again. */
	saw = early;
#else
#ifdef ONLY_FURTHER
	saw = saw || early;
#else
	saw = saw || first;
#endif
#endif
	/* When A was, C was. */
	assert(!held || saw)
}

init {
	atomic { run writer(); run matcher() }
}

#endif
#ifdef LAST

byte word = MAKE(0, 1, 2);	/* two sessions hold it */
byte key = 0;

/* kvbm_register_chunk() counts the key that it registered, then a release. */
proctype first()
{
	byte seen;
	bit looked, put;

	do
	:: d_step { !looked -> seen = key; looked = 1 }
#ifdef NO_RELEASE
	:: d_step { !put && REFS(word) > 1 -> word--; put = 1 }
#else
	:: d_step { !put && looked && REFS(word) > 1 -> word--; put = 1 }
#endif
	:: looked && put -> break
	od;
	assert(seen == 0)
}

/* The last reference; the key is written after the branch on its success. */
proctype last()
{
	d_step { REFS(word) == 1 -> word = MAKE(1, 0, 0) };
	key = 1
}

init {
	atomic { run first(); run last() }
}

#endif
#ifdef PAGE

byte content = 255;	/* what the allocator left there */
bit pointer;

proctype publisher()
{
	bit zeroed, shown;

	do
	:: d_step { !zeroed -> content = 0; zeroed = 1 }
#ifdef NO_RELEASE
	:: d_step { !shown -> pointer = 1; shown = 1 }
#else
	:: d_step { !shown && zeroed -> pointer = 1; shown = 1 }
#endif
	:: zeroed && shown -> break
	od
}

/* The address depends on the pointer: the order is given. */
proctype user()
{
	if
	:: pointer -> assert(content == 0)
	:: !pointer
	fi
}

init {
	atomic { run publisher(); run user() }
}

#endif
#ifdef SLEEP

bit granted, sleeping, woken;
bit sleeper_saw, waker_saw, both;

/* set_current_state(), then READ_ONCE(granted) */
proctype sleeper()
{
	bit stored, loaded;

	do
	:: d_step { !stored -> sleeping = 1; stored = 1 }
#ifdef NO_BARRIER
	:: d_step { !loaded -> sleeper_saw = granted; loaded = 1 }
#else
	:: d_step { !loaded && stored -> sleeper_saw = granted; loaded = 1 }
#endif
	:: stored && loaded -> break
	od;
	if
	:: sleeper_saw
	:: else -> woken
	fi
}

/* WRITE_ONCE(granted), then wake_up_process() looks at the state */
proctype waker()
{
	bit stored, loaded;

	do
	:: d_step { !stored -> granted = 1; stored = 1 }
#ifdef NO_WAKE_BARRIER
	:: d_step { !loaded -> waker_saw = sleeping; loaded = 1 }
#else
	:: d_step { !loaded && stored -> waker_saw = sleeping; loaded = 1 }
#endif
	:: stored && loaded -> break
	od;
	if
	:: waker_saw -> woken = 1
	:: else
	fi
}

init {
	atomic { run sleeper(); run waker() }
}

#endif
