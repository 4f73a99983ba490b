// SPDX-License-Identifier: MIT
//! Keys as bench/keys.h makes them, and pools as bench/native/pool.c fills them.

use kvbm_logical::manager::FrequencyTrackingCapacity;
use kvbm_logical::manager::LineageEviction;
use kvbm_logical::pools::BlockDuplicationPolicy;
use kvbm_logical::{BlockManager, BlockRegistry, ImmutableBlock, SequenceHash};

pub const PROMPT: usize = 128; // blocks of a prompt
pub const PREFIX: usize = 32; // of these, shared by the prompts of a family
pub const FAMILY: usize = 8; // prompts that begin alike
pub const FAMILY_BLOCKS: usize = PREFIX + FAMILY * (PROMPT - PREFIX);
pub const BLOCK_SIZE: usize = 16;

pub type Keys = Vec<SequenceHash>;
pub type Block = ImmutableBlock<Host>;

/// Memory of the host; the reference calls this tier G2.
#[derive(Clone)]
pub struct Host;

pub fn mix(z: u64) -> u64 {
    let mut z = z.wrapping_add(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    z ^ (z >> 31)
}

fn chain_hash(chain: u64, position: usize) -> u64 {
    mix(chain
        .wrapping_mul(0x100000001b3)
        .wrapping_add(position as u64))
}

fn key(chain: u64, position: usize, parents: u64) -> SequenceHash {
    let parent = position.checked_sub(1).map(|p| chain_hash(parents, p));
    SequenceHash::new(chain_hash(chain, position), parent, position as u64)
}

/// A prompt of the initial population.
pub fn prompt_keys(prompt: u64, keys: &mut Keys) {
    let family = prompt / FAMILY as u64 | 1 << 40;
    keys.clear();
    keys.extend((0..PREFIX).map(|i| key(family, i, family)));
    keys.push(key(prompt, PREFIX, family));
    keys.extend((PREFIX + 1..PROMPT).map(|i| key(prompt, i, prompt)));
}

/// Of a prompt that nobody has seen.
pub fn fresh_keys(prompt: u64, n: usize, keys: &mut Keys) {
    let chain = prompt | 1 << 41;
    keys.clear();
    keys.extend((0..n).map(|i| key(chain, i, chain)));
}

#[derive(Clone, Copy, PartialEq)]
pub enum Fill {
    Held,
    Idle,
}

pub struct Pool {
    pub manager: BlockManager<Host>,
    pub total: usize,
    pub families: usize,
    pub fresh: u64,
    rng: u64,
    held: Vec<Block>,
}

/// As Dynamo makes the store of a host's memory, but for the policy, and for the
/// counts of uses, which cost it much: only where they are asked for or needed.
fn store(total: usize, policy: &str, tracked: bool) -> BlockManager<Host> {
    let registry = if tracked || policy == "multi_lru" {
        BlockRegistry::builder()
            .frequency_tracker(FrequencyTrackingCapacity::Medium.create_tracker())
            .build()
    } else {
        BlockRegistry::new()
    };
    let builder = BlockManager::<Host>::builder()
        .block_count(total)
        .block_size(BLOCK_SIZE)
        .duplication_policy(BlockDuplicationPolicy::Reject)
        .registry(registry);
    match policy {
        "lru" => builder.with_lru_backend(),
        "fifo" => builder.with_hashmap_backend(),
        "lineage_tick" => builder.with_lineage_backend_eviction(LineageEviction::Tick),
        "lineage_fifo" => builder.with_lineage_backend_eviction(LineageEviction::Fifo),
        "multi_lru" => builder.with_multi_lru_backend(),
        _ => panic!("no policy {policy}"),
    }
    .build()
    .expect("a store")
}

impl Pool {
    pub fn new(total: usize, policy: &str, tracked: bool, fill: Fill) -> Self {
        let mut pool = Self {
            manager: store(total, policy, tracked),
            total,
            families: total / FAMILY_BLOCKS,
            fresh: 0,
            rng: 1,
            held: Vec::new(),
        };
        pool.shuffle_free();
        pool.fill(fill);
        pool
    }

    pub fn rnd(&mut self) -> u64 {
        self.rng += 1;
        mix(self.rng - 1)
    }

    /// So that neighbours in time are not neighbours in memory.
    fn shuffle_free(&mut self) {
        let mut blocks = self
            .manager
            .allocate_blocks(self.total)
            .expect("all blocks");
        for i in (1..self.total).rev() {
            let j = self.rnd() % (i as u64 + 1);
            blocks.swap(i, j as usize);
        }
    }

    fn fill(&mut self, fill: Fill) {
        let mut keys = Keys::new();
        for i in 0..self.families * FAMILY {
            prompt_keys(i as u64, &mut keys);
            self.add(&keys[if i % FAMILY > 0 { PREFIX } else { 0 }..], fill);
        }
        let mut left = self.total - self.families * FAMILY_BLOCKS;
        while left > 0 {
            fresh_keys(self.fresh, left.min(PROMPT), &mut keys);
            self.fresh += 1;
            self.add(&keys, fill);
            left -= keys.len();
        }
    }

    fn add(&mut self, keys: &[SequenceHash], fill: Fill) {
        let mut blocks = self.turn_over(keys).0;
        blocks.reverse();
        if fill == Fill::Held {
            self.held.append(&mut blocks);
        }
    }

    /// Allocates, evicting, and registers: what is held then, and what was evicted.
    pub fn turn_over(&self, keys: &[SequenceHash]) -> (Vec<Block>, Vec<SequenceHash>) {
        let (blocks, evicted) = self
            .manager
            .allocate_blocks_with_evictions(keys.len())
            .expect("blocks");
        let staged = blocks
            .into_iter()
            .zip(keys)
            .map(|(b, k)| b.stage(*k, BLOCK_SIZE).ok().expect("the size of a block"))
            .collect();
        (self.manager.register_blocks(staged), evicted)
    }

    /// Holds prompts of the initial population: these, and how many blocks it are.
    pub fn hold(&self, least: usize) -> (Vec<Vec<Block>>, usize) {
        let (mut held, mut n) = (Vec::new(), 0);
        let mut keys = Keys::new();
        while n < least {
            prompt_keys(held.len() as u64, &mut keys);
            n += if held.len() % FAMILY > 0 {
                PROMPT - PREFIX
            } else {
                PROMPT
            };
            held.push(self.manager.match_blocks(&keys));
            assert_eq!(held.last().unwrap().len(), PROMPT);
        }
        (held, n)
    }
}
