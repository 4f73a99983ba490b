// SPDX-License-Identifier: MIT
//! The index that Dynamo's router has after what a publisher sent.
//!
//! Standard input: messages, each a length (u32, little endian) and the third
//! frame of a message. Prints the block hashes that the index has for the tier of
//! the host's memory, one a line, then how many events it took and refused.

use std::collections::BTreeSet;
use std::io::Read;

use dynamo_kv_router::indexer::{KvIndexerInterface, LowerTierIndexers};
use dynamo_kv_router::protocols::{KvCacheEventData, StorageTier, WorkerWithDpRank};
use dynamo_kv_router::zmq_wire::{ZmqEventNormalizer, decode_event_batch};

#[tokio::main]
async fn main() {
    let block_size: u32 = std::env::args()
        .nth(1)
        .and_then(|a| a.parse().ok())
        .expect("usage: kvbm-router-dynamo BLOCK_SIZE");
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).expect("read");

    let index = LowerTierIndexers::new(1, block_size);
    let mut normalizer = ZmqEventNormalizer::new(block_size);
    let (mut taken, mut refused) = (0u64, 0u64);
    let mut rest = &input[..];
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        let (message, after) = rest[4..].split_at(length);
        rest = after;
        let batch = decode_event_batch(message).expect("not a batch of events");
        let dp_rank = batch.data_parallel_rank.unwrap_or(0) as u32;
        let worker = WorkerWithDpRank {
            worker_id: 1,
            dp_rank,
        };
        for raw in batch.events {
            let event = match normalizer.preprocess_with_reason(raw, worker) {
                Ok(raw) => normalizer.normalize_preprocessed(raw, taken, worker),
                Err(reason) => {
                    eprintln!("refused: {}", reason.as_label());
                    None
                }
            };
            let Some(event) = event.and_then(|e| e.into_router_event()) else {
                refused += 1;
                continue;
            };
            taken += 1;
            let clears = matches!(event.event.data, KvCacheEventData::Cleared);
            let targets = if clears {
                index.all()
            } else {
                vec![index.get_or_create(event.storage_tier)]
            };
            for tier in targets {
                if let Err(e) = tier.apply_event_and_wait(event.clone()).await {
                    eprintln!("refused: {e}");
                    refused += 1;
                }
            }
        }
    }

    let mut hashes = BTreeSet::new();
    if let Some(tier) = index.get(StorageTier::HostPinned) {
        for event in tier.dump_events().await.expect("dump") {
            if let KvCacheEventData::Stored(stored) = event.event.data {
                hashes.extend(stored.blocks.iter().map(|b| b.block_hash.0));
            }
        }
    }
    for hash in &hashes {
        println!("{hash}");
    }
    println!("taken {taken} refused {refused}");
}
