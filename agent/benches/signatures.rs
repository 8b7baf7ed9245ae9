//! What log lines cost the miner: `cargo bench -p deskside-agent --bench signatures`.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::time::Instant;

use deskside_agent::signature::Signatures;
use deskside_proto::v1::LogEvent;
use prost::Message;
use prost::bytes::Bytes;

/// Lines of some 120 bytes that tell of no error.
const PLAIN: [&str; 4] = [
    "Started Daily apt download activities, which will run in the background and finish in about seven minutes from now on.",
    "DHCPACK of 192.0.2.17 from 192.0.2.1 (xid=0x5f7965aa), bound to 192.0.2.17 -- renewal in 1638 seconds, lease of 3600 s",
    "<info>  [1768478400.1234] device (enp3s0): state change: ip-config -> ip-check (reason 'none', sys-iface-state: 'managed')",
    "GET /api/v1/items/7781?sort=name&page=3 HTTP/1.1 200 5120 bytes in 12 ms for client 198.51.100.23 with agent curl/8.5.0",
];

/// Lines of some 120 bytes that tell of one.
const ERRORS: [&str; 4] = [
    "Failed password for invalid user carla from 192.0.2.118 port 50122 ssh2 after 3 tries within the last 60 seconds of time",
    "*8812 connect() failed (111: Connection refused) while connecting to upstream, client: 192.0.2.9, server: www.example.org",
    "[Job 1718] Unable to connect to 192.0.2.7: Connection refused; the printer at socket://192.0.2.7:9100 is not responding.",
    "ata3.00: exception Emask 0x0 SAct 0x7f000000 SErr 0x00050000 action 0x6 frozen; failed command: READ FPDMA QUEUED tag 24",
];

/// Lines in one round, and rounds.
const ROUND: usize = 512 * 1024;
const ROUNDS: usize = 5;

/// As many as come in one batch.
const BATCH: usize = 256;

fn main() {
    for (what, lines) in [("lines that tell of no error", &PLAIN), ("lines that tell of one", &ERRORS)] {
        let event = |line: &&str| LogEvent { program: "app".into(), message: (*line).into(), ..LogEvent::default() };
        let rows: Vec<Bytes> = lines.iter().map(|line| event(line).encode_to_vec().into()).collect();
        let batch: Vec<&[u8]> = rows.iter().map(AsRef::as_ref).cycle().take(BATCH).collect();
        let mut seconds: Vec<f64> = (0..ROUNDS).map(|_round| round(&batch)).collect();
        seconds.sort_by(f64::total_cmp);
        let median = seconds.get(ROUNDS / 2).copied().unwrap_or_default();
        println!(
            "signatures: {median:.2} s per million {what}, median of {ROUNDS} rounds of {ROUND} lines on one core"
        );
    }
}

/// Seconds per million lines.
fn round(batch: &[&[u8]]) -> f64 {
    let signatures = Signatures::default();
    let begun = Instant::now();
    for _ in 0..ROUND / BATCH {
        let tally = signatures.tally(black_box(batch.iter().copied()), 1_768_478_400_000);
        black_box(signatures.add(tally));
    }
    begun.elapsed().as_secs_f64() / ROUND as f64 * 1e6
}
