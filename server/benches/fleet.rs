//! What the store answers for 10,000 devices, what it takes in, and how long one who appends waits while much is let go of:
//! `cargo bench -p deskside-server --bench fleet`.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::time::{Duration, Instant};

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::{Load, Outcome, Printer, Reading};
use deskside_server::store::{Arrival, Db, Devices, NewDevice, NewToken, Order, Readings, Retention, Tokens, Window};
use futures_util::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

const DEVICES: u64 = 10_000;
const PRINTERS: u64 = 4;
const PAGE: u32 = 1_000;
const ROUNDS: usize = 11;

/// Devices that write at once.
const AT_ONCE: usize = 64;

const T0: i64 = 1_780_000_000_000;
const HOUR_MS: i64 = 3_600_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let db = Db::open(&folder.path().join("store.db"))?;
    let devices = enrolled(&db).await?;
    let begun = Instant::now();
    let readings: u64 = stream::iter(&devices)
        .map(|device| day(&db, *device))
        .buffer_unordered(AT_ONCE)
        .try_fold(0, |sum, more| async move { Ok(sum + more) })
        .await?;
    println!(
        "took in {readings} readings of {DEVICES} devices: {:.0} a second",
        readings as f64 / begun.elapsed().as_secs_f64()
    );

    let mut times = Vec::new();
    let mut rows = 0;
    for _round in 0..ROUNDS {
        let begun = Instant::now();
        (rows, _) = printers(&db).await?;
        times.push(begun.elapsed());
    }
    println!("the latest printers of all devices, {rows} rows: {}", told(&mut times));

    let begun = Instant::now();
    let mut pieces = Vec::new();
    let keep =
        Retention { age_max_ms: i64::MAX / 2, bytes_max: u64::MAX, device_bytes_max: u64::MAX, ..Retention::default() };
    while timed(&mut pieces, db.retain(&keep, T0 + 48 * HOUR_MS)).await? {}
    println!("folded all in {:.1} s; one piece: {}", begun.elapsed().as_secs_f64(), told(&mut pieces));

    let window =
        Window { device: None, table: Load::TABLE.into(), from_ms: T0, to_ms: T0 + HOUR_MS, order: Order::OldestFirst };
    let (mut found, mut after, begun) = (0, None, Instant::now());
    loop {
        let page = db.window(window.clone(), after, PAGE).await?;
        found += page.found.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    println!("an hour of load of all devices out of blocks, {found} readings: {:.2} s", begun.elapsed().as_secs_f64());

    waits("alone", &db, &devices, None).await?;
    let drop_all = Retention { age_max_ms: HOUR_MS, ..keep };
    waits("while everything is let go of", &db, &devices, Some(drop_all)).await
}

async fn enrolled(db: &Db) -> anyhow::Result<Vec<Uuid>> {
    let token =
        NewToken { id: "bench".into(), secret_sha256: [7; 32], uses: u32::try_from(DEVICES)?, expires_ms: i64::MAX };
    db.add_token(token, 0).await?;
    let one = |n: u64| async move {
        let device =
            NewDevice { name: format!("desk-{n}"), machine: format!("machine-{n}"), agent_version: "0".into() };
        let enrolled = db.enrol([7; 32], device, 1).await?.ok().context("the token is good")?;
        Ok::<_, anyhow::Error>(enrolled.id)
    };
    stream::iter(0..DEVICES).map(one).buffer_unordered(AT_ONCE).try_collect().await
}

/// What a device brings: its printers, and a sample every ten minutes of a day, an hour of them at a time.
async fn day(db: &Db, device: Uuid) -> anyhow::Result<u64> {
    let printer = |n: u64| Printer {
        name: format!("office-{n}"),
        device_uri: format!("ipp://printer-{n}.example/ipp/print"),
        ..Printer::default()
    };
    let rows: Vec<Printer> = (0..PRINTERS).map(printer).collect();
    let mut batch = vec![arrival(1, T0, &rows)];
    let mut seq = 1;
    for hour in 0..24 {
        for minute in 0..6 {
            seq += 1;
            let load = Load { load_1: seq as f64 / 97.0, processors: 8, ..Load::default() };
            batch.push(arrival(seq, T0 + hour * HOUR_MS + minute * 600_000, &[load]));
        }
        db.append(device, 1, std::mem::take(&mut batch), T0 + hour * HOUR_MS).await?;
    }
    Ok(seq)
}

fn arrival<R: Row>(seq: u64, at_ms: i64, rows: &[R]) -> Arrival {
    let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
    let reading = Reading { table: R::TABLE.into(), at_ms, outcome: Outcome::Ok.into(), rows, ..Reading::default() };
    Arrival { seq, reading: Some(reading), lost: 0 }
}

async fn printers(db: &Db) -> anyhow::Result<(usize, usize)> {
    let (mut rows, mut pages, mut after) = (0, 0, None);
    loop {
        let page = db.latest_all(Printer::TABLE, after, PAGE).await?;
        rows += page.found.iter().map(|(_device, latest)| latest.reading.rows.len()).sum::<usize>();
        pages += 1;
        after = page.next;
        if after.is_none() {
            return Ok((rows, pages));
        }
    }
}

/// How long one who appends waits, 500 times alone, or for as long as a look at the past lasts.
async fn waits(when: &str, db: &Db, devices: &[Uuid], retention: Option<Retention>) -> anyhow::Result<()> {
    let (mut times, alone) = (Vec::new(), retention.is_none());
    let looking = tokio::spawn({
        let db = db.clone();
        async move {
            let Some(retention) = retention else { return Ok(Vec::new()) };
            let mut pieces = Vec::new();
            while timed(&mut pieces, db.retain(&retention, T0 + 96 * HOUR_MS)).await? {}
            Ok::<_, anyhow::Error>(pieces)
        }
    });
    let mut seq = 0;
    while (alone && seq < 500) || (!alone && !looking.is_finished()) {
        let device = devices.get(seq as usize % devices.len()).context("there are devices")?;
        seq += 1;
        let load = Load { load_1: 1.0, ..Load::default() };
        let batch = vec![arrival(seq, T0 + 95 * HOUR_MS, &[load])];
        timed(&mut times, db.append(*device, if alone { 2 } else { 3 }, batch, T0 + 95 * HOUR_MS)).await?;
    }
    println!("an append {when}: {}", told(&mut times));
    let mut pieces = looking.await??;
    if !pieces.is_empty() {
        println!("  in {} pieces: {}", pieces.len(), told(&mut pieces));
    }
    Ok(())
}

async fn timed<T>(times: &mut Vec<Duration>, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let begun = Instant::now();
    let done = work.await;
    times.push(begun.elapsed());
    done
}

/// Median, the ninety-ninth of a hundred, and the longest.
fn told(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: usize| {
        times.get((times.len() * share / 100).min(times.len() - 1)).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    format!("median {:.2} ms, p99 {:.2} ms, longest {:.2} ms", at(50), at(99), at(100))
}
