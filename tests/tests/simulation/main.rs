//! The uplink's machine against the gateway's, through thousands of seeded bad days: cut lines, late and repeated words, crashes on
//! both sides, clocks that leap, records begun anew. Then calm, in which every reading of the record must be there, once and in order.

mod agent;
mod server;
mod world;

use world::{Mutant, World};

/// Seeds of one run.
const SEEDS: u64 = 2_000;

/// Seeds within which a mutant must be caught.
const MUTANT_SEEDS: u64 = 500;

/// The first seed by which a mutant is caught, and how.
fn caught(mutant: Mutant) -> Option<(u64, String)> {
    (0..MUTANT_SEEDS).find_map(|seed| World::new(seed, Some(mutant)).live().err().map(|error| (seed, error)))
}

#[test]
fn every_reading_arrives_once_and_in_order_however_bad_the_day() {
    let only = std::env::var("DESKSIDE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let mut seen = world::Seen::default();
    for seed in seeds {
        match World::new(seed, None).live() {
            Ok(day) => seen.add(&day),
            Err(error) => assert!(error.is_empty(), "seed {seed}: {error}\nagain with DESKSIDE_SEED={seed}"),
        }
    }
    println!("{seen:?}");
    if only.is_none() {
        assert!(seen.is_a_bad_time(), "the days were too good to prove anything: {seen:?}");
    }
}

#[test]
fn acknowledging_before_durable_is_caught() {
    let (seed, error) = caught(Mutant::AcknowledgeBeforeDurable).expect("no seed caught it");
    println!("seed {seed}: {error}");
}

#[test]
fn forgetting_the_epoch_is_caught() {
    let (seed, error) = caught(Mutant::ForgetTheEpoch).expect("no seed caught it");
    println!("seed {seed}: {error}");
}

#[test]
fn skipping_one_on_resume_is_caught() {
    let (seed, error) = caught(Mutant::SkipOneOnResume).expect("no seed caught it");
    println!("seed {seed}: {error}");
}

#[test]
fn taking_repeats_for_news_is_caught() {
    let (seed, error) = caught(Mutant::TakeRepeatsForNews).expect("no seed caught it");
    println!("seed {seed}: {error}");
}
