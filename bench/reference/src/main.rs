// SPDX-License-Identifier: MIT
//! NVIDIA Dynamo's store of blocks, kvbm-logical, used as bench/native uses kvbm's core:
//! the same groups, figures of the same names (bench/native/reference.c), as JSON lines.
//!
//!     kvbm-reference GROUP [SECONDS]

mod measure;
mod pool;

use measure::{Work, crowd, measure};
use pool::{Block, FAMILY, Fill, Host, Keys, PROMPT, Pool, fresh_keys, mix, prompt_keys};
use std::hint::black_box;
use std::time::Instant;

const TOTAL: usize = 1 << 20;
const HELD: usize = 1_000_000;
const DEATHS: usize = 3;
const SMOKE: usize = 4096;
const SMOKE_ROUNDS: usize = 100;

struct Figure<'a> {
    name: &'a str,
    policy: Option<&'a str>,
    pool: usize,
    n: usize,
    mode: Option<&'a str>,
    threads: usize,
}

fn report(f: &Figure, ns: f64) {
    let text = |key: &str, value: Option<&str>| {
        value.map_or(String::new(), |v| format!(", \"{key}\": \"{v}\""))
    };
    println!(
        "{{\"name\": \"{}\"{}, \"pool\": {}, \"n\": {}{}, \"threads\": {}, \"ns_per_block\": {ns:.2}}}",
        f.name,
        text("policy", f.policy),
        f.pool,
        f.n,
        text("mode", f.mode),
        f.threads
    );
}

/// Matches and releases a prompt.
struct Pair<'a> {
    pool: &'a mut Pool,
    spread: bool,
    tail_first: bool,
    keys: Keys,
}

impl<'a> Pair<'a> {
    fn new(pool: &'a mut Pool, spread: bool, tail_first: bool) -> Self {
        let mut keys = Keys::new();
        prompt_keys(1, &mut keys);
        Self {
            pool,
            spread,
            tail_first,
            keys,
        }
    }
}

impl Work for Pair<'_> {
    fn prepare(&mut self) {
        if self.spread {
            let prompts = (self.pool.families * FAMILY) as u64;
            prompt_keys(self.pool.rnd() % prompts, &mut self.keys);
        }
    }

    fn op(&mut self) {
        let mut blocks = self.pool.manager.match_blocks(&self.keys);
        assert_eq!(blocks.len(), PROMPT);
        if self.tail_first {
            blocks.reverse();
        }
        drop(black_box(blocks));
    }
}

/// Asks for what is not there.
struct Miss<'a> {
    pool: &'a mut Pool,
    spread: bool,
    ask: fn(&Pool, &Keys) -> usize,
    keys: Keys,
}

impl Work for Miss<'_> {
    fn prepare(&mut self) {
        if self.spread || self.keys.is_empty() {
            fresh_keys(self.pool.rnd() | 1 << 50, PROMPT, &mut self.keys);
        }
    }

    fn op(&mut self) {
        assert_eq!((self.ask)(self.pool, &self.keys), 0);
    }
}

fn scan(pool: &Pool, keys: &Keys) -> usize {
    pool.manager.scan_matches(keys, true).len()
}

fn scattered(pool: &Pool, keys: &Keys) -> usize {
    let found = pool.manager.match_blocks_scattered(keys);
    found.iter().flatten().count()
}

fn presence(pool: &Pool, keys: &Keys) -> usize {
    let told = pool.manager.block_registry().check_presence::<Host>(keys);
    told.iter().filter(|(_, here)| *here).count()
}

fn registered(pool: &Pool, keys: &Keys) -> usize {
    let registry = pool.manager.block_registry();
    keys.iter().filter(|k| registry.is_registered(**k)).count()
}

fn first(pool: &Pool, keys: &Keys) -> usize {
    pool.manager.match_blocks(keys).len()
}

type Ask = fn(&Pool, &Keys) -> usize;
/// What is asked, and whether its cost is a call's or a block's.
const MISSES: [(&str, Ask, usize); 5] = [
    ("scan,", scan, PROMPT),
    ("scattered,", scattered, PROMPT),
    ("presence,", presence, PROMPT),
    ("registered,", registered, PROMPT),
    ("match,", first, 1),
];

fn pairs(pool: &mut Pool, policy: Option<&str>, modes: &[(&str, bool, bool)], seconds: f64) {
    for (mode, spread, tail_first) in modes {
        let f = Figure {
            name: "match+release",
            policy,
            pool: pool.total,
            n: PROMPT,
            mode: Some(mode),
            threads: 1,
        };
        report(
            &f,
            measure(&mut Pair::new(pool, *spread, *tail_first), PROMPT, seconds),
        );
    }
}

fn held(seconds: f64) {
    let mut pool = Pool::new(TOTAL, "lru", false, Fill::Held);
    // Who holds it already is the same to the reference.
    let modes = [
        ("others,hot", false, false),
        ("others,spread", true, false),
        ("own,hot", false, false),
    ];
    pairs(&mut pool, None, &modes, seconds);
    for spread in [false, true] {
        for (what, ask, n) in MISSES {
            let mode = format!(
                "{what}{}{}",
                if spread { "spread" } else { "hot" },
                if n == 1 { ",a call" } else { "" }
            );
            let f = Figure {
                name: "miss",
                policy: None,
                pool: TOTAL,
                n,
                mode: Some(&mode),
                threads: 1,
            };
            let mut miss = Miss {
                pool: &mut pool,
                spread,
                ask,
                keys: Keys::new(),
            };
            report(&f, measure(&mut miss, n, seconds));
        }
    }
}

fn tracked(seconds: f64) {
    let mut pool = Pool::new(TOTAL, "lru", true, Fill::Held);
    let modes = [
        ("others,hot,tracked", false, false),
        ("others,spread,tracked", true, false),
    ];
    pairs(&mut pool, None, &modes, seconds);
}

/// Allocate by evicting, stage and register, give back tail first.
struct Cycle<'a> {
    pool: &'a mut Pool,
    keys: Keys,
}

impl Work for Cycle<'_> {
    fn prepare(&mut self) {
        fresh_keys(self.pool.fresh, PROMPT, &mut self.keys);
        self.pool.fresh += 1;
    }

    fn op(&mut self) {
        let (mut blocks, evicted) = self.pool.turn_over(&self.keys);
        blocks.reverse();
        drop(black_box(blocks));
        black_box(evicted);
    }
}

fn policy(name: &str, seconds: f64) {
    let mut pool = Pool::new(TOTAL, name, false, Fill::Idle);
    let modes = [("idle,spread", true, true), ("idle,hot", false, true)];
    pairs(&mut pool, Some(name), &modes, seconds);

    for _ in 0..DEATHS {
        let (held, n) = pool.hold(HELD);
        let begin = Instant::now();
        drop(held);
        let ns = begin.elapsed().as_nanos() as f64 / n as f64;
        let f = Figure {
            name: "reclaim",
            policy: Some(name),
            pool: TOTAL,
            n: HELD,
            mode: Some("to-idle"),
            threads: 1,
        };
        report(&f, ns);
    }

    let mut cycle = Cycle {
        pool: &mut pool,
        keys: Keys::new(),
    };
    // Let the first population go.
    for _ in 0..TOTAL / PROMPT {
        cycle.prepare();
        cycle.op();
    }
    let ns = measure(&mut cycle, PROMPT, seconds);
    let f = Figure {
        name: "evict-cycle",
        policy: Some(name),
        pool: TOTAL,
        n: PROMPT,
        mode: None,
        threads: 1,
    };
    report(&f, ns);
}

/// Two threads on one prompt or two, which the pool holds or nobody.
fn threads() {
    for (mode, same, fill) in [
        ("same,others", true, Fill::Held),
        ("disjoint,others", false, Fill::Held),
        ("same,nobody", true, Fill::Idle),
    ] {
        let pool = Pool::new(1 << 16, "lru", false, fill);
        let keys = [0, 1].map(|nr| {
            let mut keys = Keys::new();
            prompt_keys(if same { 1 } else { 9 + 16 * nr }, &mut keys);
            keys
        });
        let work = |nr: usize| {
            let blocks: Vec<Block> = pool.manager.match_blocks(&keys[nr]);
            assert_eq!(blocks.len(), PROMPT);
        };
        for threads in [1, 2] {
            let f = Figure {
                name: "scale",
                policy: None,
                pool: pool.total,
                n: PROMPT,
                mode: Some(mode),
                threads,
            };
            report(&f, crowd(threads, &work) / PROMPT as f64 / threads as f64);
        }
    }
}

/// The same blocks in the same order: what is found, what is evicted, and when.
fn smoke(policy: &str) {
    let mut pool = Pool::new(SMOKE, policy, false, Fill::Idle);
    let (mut matched, mut present, mut evicted, mut order) = (0, 0, 0, 0);
    let mut keys = Keys::new();

    for r in 0..SMOKE_ROUNDS {
        let prompts = (pool.families * FAMILY) as u64;
        prompt_keys(pool.rnd() % prompts, &mut keys);
        present += presence(&pool, &keys);
        let mut blocks = pool.manager.match_blocks(&keys);
        matched += blocks.len();
        blocks.reverse();
        drop(blocks);
        if r % 2 > 0 {
            continue;
        }

        fresh_keys(pool.fresh, PROMPT, &mut keys);
        pool.fresh += 1;
        let (mut blocks, gone) = pool.turn_over(&keys);
        for key in &gone {
            let key = key.as_u128();
            order = mix(mix(order ^ (key >> 64) as u64) ^ key as u64);
        }
        evicted += gone.len();
        blocks.reverse();
    }
    println!(
        "{{\"name\": \"smoke\", \"policy\": \"{policy}\", \"matched\": {matched}, \
         \"present\": {present}, \"evicted\": {evicted}, \"order\": \"{order:016x}\"}}"
    );
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let seconds = args.get(2).map_or(0.5, |s| s.parse().expect("seconds"));
    match args.get(1).map_or("", |s| s) {
        "held" => held(seconds),
        "tracked" => tracked(seconds),
        "threads" => threads(),
        "smoke" => {
            for name in ["lru", "fifo", "lineage_tick", "lineage_fifo", "multi_lru"] {
                smoke(name);
            }
        }
        name @ ("lru" | "lineage_tick" | "multi_lru") => policy(name, seconds),
        _ => {
            eprintln!("usage: kvbm-reference GROUP [SECONDS]");
            std::process::exit(2);
        }
    }
}
