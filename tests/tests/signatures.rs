//! Error signatures from a log that is written to the technician's screen, through kills and restarts.
#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use deskside_tests::lab::process::{Agent, Server, Technician, until};
use serde_json::{Value as Json, json};

/// What is said of the signature of one source, once so many of its messages are counted.
fn counted(technician: &Technician, device: &str, source: &str, count: u64) -> anyhow::Result<Json> {
    until(&format!("{count} messages of {source} to be counted"), || {
        // The line to the device may not be open yet.
        let Ok(asked) = technician.json(&["ask", device, "error_signatures"]) else { return Ok(None) };
        let rows = asked["readings"][0]["rows"].as_array().cloned().unwrap_or_default();
        let found = rows.into_iter().find(|row| row["source"] == source);
        Ok(found.filter(|row| row["count"].as_u64() >= Some(count)))
    })
}

#[test]
fn an_error_is_counted_once_through_a_kill_and_a_restart_and_shown_with_its_meaning() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let mut agent = Agent::new(folder.path(), "")?;
    let device = agent.enrol(&server)?;
    let technician = server.technician(folder.path())?;
    let line =
        |number: u32| format!("Nov 22 01:10:57 desk7 archiver[7]: cannot write page {number}: No space left on device");
    agent.write_lines(&[line(1)])?;
    // The first is written down at once; a kill after it takes away nothing that was asked for before.
    let first = counted(&technician, &device, "archiver", 1)?;
    assert_eq!(first["template"], "cannot write page <num>: No space left on device");
    assert_eq!(first["codes"], json!(["ENOSPC (errno 28): no space is left on the device"]));
    agent.stop()?;
    agent.run()?;
    agent.write_lines(&(2..=5).map(line).collect::<Vec<_>>())?;
    let fifth = counted(&technician, &device, "archiver", 5)?;
    assert_eq!((&fifth["count"], &fifth["id"], &fifth["first_ms"]), (&5.into(), &first["id"], &first["first_ms"]));
    agent.kill()?;
    agent.run()?;
    agent.write_lines(&[line(6)])?;
    let after = counted(&technician, &device, "archiver", 2)?;
    let count = after["count"].as_u64().unwrap_or_default();
    // What a kill may take are the counts of its last minute; it adds none.
    assert!((2..=6).contains(&count), "{after}");
    assert_eq!((&after["id"], &after["first_ms"]), (&first["id"], &first["first_ms"]));

    let fleet = technician.json(&["signatures", "--device", &device])?;
    let known = fleet["signatures"].as_array().and_then(|all| all.iter().find(|one| one["source"] == "archiver"));
    let known = known.unwrap_or_else(|| panic!("{fleet}"));
    assert_eq!((&known["id"], &known["devices"], &known["new"]), (&first["id"], &1.into(), &false.into()));
    let said = technician.says(&["signatures"])?;
    assert!(said.contains("archiver") && said.contains("ENOSPC (errno 28)"), "{said}");
    Ok(())
}

#[test]
fn codes_are_explained_without_a_server() -> anyhow::Result<()> {
    let said = |arguments: &[&str]| {
        let ran =
            std::process::Command::new(deskside_tests::lab::process::program("deskside")?).args(arguments).output()?;
        anyhow::Ok((ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned()))
    };
    let (status, told) = said(&["decode", "0x80070005", "ENOSPC", "exit status 203", "0x0000007E"])?;
    assert_eq!(status, Some(0), "{told}");
    let names =
        ["E_ACCESSDENIED", "ENOSPC", "EXEC", "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED", "CANNOT_EXECUTE", "[MS-ERREF] 2.1"];
    for name in names {
        assert!(told.contains(name), "{name} is not in: {told}");
    }
    let (status, told) = said(&["--json", "decode", "28"])?;
    let told: Json = serde_json::from_str(&told)?;
    assert_eq!((status, &told[0]["meanings"][0]["name"]), (Some(0), &"ENOSPC".into()));
    assert_eq!(said(&["decode", "nonsense"])?.0, Some(1));
    Ok(())
}
