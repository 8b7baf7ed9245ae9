//! The server's store on a disk that is full while readings are folded: nothing is lost, and folding goes on once there is room.

use deskside_proto::v1::{Outcome, Reading};
use deskside_server::store::{Arrival, Db, Devices, NewDevice, NewToken, Readings, Retention, Tokens};
use deskside_tests::lab::disk::SmallDisk;
use deskside_tests::lab::process::until;

const HOUR_MS: i64 = 3_600_000;
const HOURS: u64 = 400;

#[tokio::test]
async fn a_disk_that_is_full_while_readings_are_folded_loses_none() -> anyhow::Result<()> {
    let disk = SmallDisk::mount(16 * 1024 * 1024)?;
    let path = disk.path().join("store.db");
    let db = Db::open(&path)?;
    let token = NewToken { id: "t".into(), secret_sha256: [1; 32], uses: 1, expires_ms: 9 };
    db.add_token(token, 0).await?;
    let enrolled = db.enrol([1; 32], NewDevice::default(), 1).await?;
    let device = enrolled.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?.id;
    for seq in 1..=HOURS {
        let (at_ms, rows) = (seq as i64 * HOUR_MS, vec![format!("row {seq} ").repeat(60).into_bytes().into()]);
        let reading = Reading { table: "load".into(), at_ms, outcome: Outcome::Ok.into(), rows, ..Reading::default() };
        db.append(device, 1, vec![Arrival { seq, reading: Some(reading), lost: 0 }], at_ms).await?;
    }
    // Opened anew, its log is empty, and the next write needs room.
    drop(db);
    until("the store to close", || Ok((!disk.path().join("store.db-wal").exists()).then_some(())))?;
    let db = Db::open(&path)?;
    let hours = async || {
        let held = db.history(device, "load", i64::MIN, i64::MAX, u32::MAX).await?;
        Ok::<_, anyhow::Error>(held.into_iter().map(|reading| reading.at_ms / HOUR_MS).collect::<Vec<_>>())
    };
    let all: Vec<i64> = (1..=HOURS as i64).collect();
    let (now_ms, keep) = (1000 * HOUR_MS, Retention { age_max_ms: i64::MAX, ..Retention::default() });
    let keep = Retention { bytes_max: u64::MAX, device_bytes_max: u64::MAX, ..keep };
    disk.fill()?;
    let mut refused = None;
    while refused.is_none() {
        match db.retain(&keep, now_ms).await {
            Ok(true) => {}
            Ok(false) => anyhow::bail!("all was folded on a full disk"),
            Err(error) => refused = Some(format!("{error:#}")),
        }
    }
    assert!(refused.is_some_and(|said| said.contains("full")), "the disk is said to be full");
    assert_eq!(hours().await?, all);
    disk.free()?;
    while db.retain(&keep, now_ms).await? {}
    assert_eq!(hours().await?, all);
    assert_eq!(db.check().await?, None);
    Ok(())
}
