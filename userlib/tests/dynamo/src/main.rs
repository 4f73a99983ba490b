// SPDX-License-Identifier: MIT
//! What Dynamo's own crates make of the chains of tests/oracle.py: reads cases
//! from standard input, prints a line for each as hash_cases does.

use std::io::{self, BufRead, Write};

use dynamo_kv_hashing::Request;
use dynamo_tokens::PositionalLineageHash;

fn text(word: &str) -> Option<String> {
    if word == "-" {
        return None;
    }
    let octets = (0..word.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&word[i..i + 2], 16).unwrap())
        .collect();
    Some(String::from_utf8(octets).unwrap())
}

fn show(hash: PositionalLineageHash) -> String {
    let all = hash.as_u128();
    format!("{:016x}:{:016x}", all >> 64, all as u64)
}

fn chain(words: &[&str]) -> String {
    let tokens: Vec<u32> = match words[4] {
        "-" => Vec::new(),
        list => list.split(',').map(|t| t.parse().unwrap()).collect(),
    };
    let request = Request::builder()
        .tokens(tokens)
        .lora_name(text(words[0]))
        .salt(text(words[1]))
        .build()
        .unwrap();
    let mut line = format!("{:016x}", request.salt_hash().unwrap());
    let size = words[2].parse().unwrap();
    for hash in request.positional_lineage_hashes(size).unwrap() {
        line.push(' ');
        line.push_str(&show(hash));
    }
    line
}

fn pack(words: &[&str]) -> String {
    let position: u64 = words[2].parse().unwrap();
    if position >= 1 << 24 {
        return "invalid".into(); // where it panics
    }
    show(PositionalLineageHash::new(
        words[0].parse().unwrap(),
        Some(words[1].parse().unwrap()),
        position,
    ))
}

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "chain" => writeln!(out, "{}", chain(&words[1..]))?,
            "pack" => writeln!(out, "{}", pack(&words[1..]))?,
            other => panic!("not a case of Dynamo's: {other}"),
        }
    }
    Ok(())
}
