//! Questions that mean harm, put to a real agent through a real server: each ends with a clear error in bounded time, and the agent's memory
//! is back at its level.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use deskside_tests::lab::asker::{Asker, to_device};
use deskside_tests::lab::process::{Agent, Server, until};

/// A question may take little, so that many can be tried.
const SETTINGS: &str = "[sql]\ntime_max_s = 2\n";

/// More than this above its level after all of them would be memory that is not given back. Why so much: what a loaded machine holds of a
/// program in a moment varies by mebibytes.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

fn hostile() -> Vec<String> {
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)";
    let mut all = vec![
        format!("{endless} SELECT count(*) FROM n"),
        format!("{endless} SELECT x, randomblob(1000) FROM n ORDER BY 2"),
        format!("{endless} SELECT group_concat(x) FROM n"),
        format!("{endless} SELECT json_group_array(x) FROM n"),
        "SELECT count(*) FROM columns a, columns b, columns c, columns d".into(),
        "SELECT a.name, b.name FROM columns a, columns b ORDER BY a.doc || b.doc".into(),
        format!("SELECT '{}'", "x".repeat(1_000_000)),
        "SELECT zeroblob(1e9)".into(),
        "SELECT hex(randomblob(400000)) || hex(randomblob(400000))".into(),
        "SELECT printf('%.*c', 1000000000, 'x')".into(),
        "SELECT printf('%1000000000d', 1)".into(),
        "SELECT replace(hex(zeroblob(100000)), '00', '0000000000')".into(),
        format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("SELECT {}1", "-".repeat(3).replace('-', "- ").repeat(10_000)),
        format!("SELECT 1{}", " + 1".repeat(15_000)),
        format!("{endless} SELECT sum(x IN ({}0)) FROM n", "1,".repeat(30_000)),
        format!("{}SELECT 1{}", "SELECT * FROM (".repeat(3_000), ")".repeat(3_000)),
        format!("SELECT 1 {}", "UNION ALL SELECT 1 ".repeat(3_000)),
        format!("SELECT json_extract('{}{}', '$')", "[".repeat(30_000), "]".repeat(30_000)),
        format!("{endless} SELECT count(json('{}' || x || '{}')) FROM n", "[".repeat(900), "]".repeat(900)),
        format!(
            "{endless}, t AS (SELECT hex(zeroblob(100000)) v) SELECT count(*) FROM n, t WHERE v || x LIKE '{}y'",
            "%0".repeat(400)
        ),
        format!(
            "{endless}, t AS (SELECT hex(zeroblob(100000)) v) SELECT count(*) FROM n, t WHERE v || x GLOB '{}y'",
            "*0".repeat(400)
        ),
        "ATTACH '/tmp/x.db' AS x".into(),
        "PRAGMA hard_heap_limit = 1".into(),
        "SELECT load_extension('/tmp/x.so')".into(),
        "SELECT writefile('/tmp/x', 'x')".into(),
        "SELECT readfile('/etc/shadow')".into(),
        "DELETE FROM log_events".into(),
        String::new(),
        "\u{0}".into(),
    ];
    all.push(format!(
        "WITH {} SELECT * FROM t99",
        (0..100).map(|n| format!("t{n} AS (SELECT {n} UNION SELECT * FROM t{})", n + 1)).collect::<Vec<_>>().join(", ")
    ));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_questions_end_and_the_agent_answers_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    let mut agent = Agent::new(folder.path(), SETTINGS).unwrap();
    let device = agent.enrol(&server).unwrap();
    until("the session", || Ok(agent.status()?.connected_since_ms)).unwrap();
    let mut asker = Asker::new(&server, "mallory", "technician").await.unwrap();
    let harmless = "SELECT count(*) FROM tables";
    assert_eq!(asker.ask(to_device(&device, harmless)).await.unwrap().rows.len(), 1);
    let level = agent.status().unwrap().resident_bytes;

    for sql in hostile() {
        let begins: String = sql.chars().take(60).collect();
        let said = asker.ask(to_device(&device, &sql)).await.expect_err(&begins).message().to_owned();
        assert!(!said.is_empty() && said.len() < 500, "{begins}: {said}");
        agent.must_live().unwrap();
        assert_eq!(asker.ask(to_device(&device, harmless)).await.expect(&begins).rows.len(), 1, "{begins}");
    }

    until("the memory to be given back", || {
        let now = agent.status()?.resident_bytes;
        Ok((now < level + GROWTH_BYTES_MAX).then_some(()))
    })
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_questions_are_answered_at_once_the_third_waits_and_what_was_asked_can_be_read_at_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    let mut agent = Agent::new(folder.path(), "").unwrap();
    let device = agent.enrol(&server).unwrap();
    until("the session", || Ok(agent.status()?.connected_since_ms)).unwrap();
    let mut asker = Asker::new(&server, "nora", "technician").await.unwrap();
    let long = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
    let mut held = Vec::new();
    for _question in 0..2 {
        let mut parts = asker.put(to_device(&device, long)).await.unwrap();
        assert!(!parts.message().await.unwrap().unwrap().columns.is_empty(), "it has begun");
        held.push(parts);
    }
    let mut third = asker.put(to_device(&device, "SELECT name FROM tables LIMIT 1")).await.unwrap();
    let told = third.message().await.unwrap().unwrap();
    assert_eq!(told.progress, "2 questions are being answered; this one waits");
    // The technician hangs up on one of the others: the third has its turn at once.
    drop(held.pop());
    let mut rows = 0;
    while let Some(part) = tokio::time::timeout(Duration::from_secs(20), third.message()).await.unwrap().unwrap() {
        rows += part.rows.len();
    }
    assert_eq!(rows, 1);
    drop(held);
    let asked = until("both that were stopped to be written down", || {
        let text = agent.says(&["sql", "--json", "SELECT asked_by, sql, rows, ended FROM questions ORDER BY rows"])?;
        let lines: Vec<serde_json::Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok((lines.len() == 3).then_some(lines))
    })
    .unwrap();
    assert_eq!((&asked[0]["ended"], &asked[0]["sql"]), (&"stopped".into(), &long.into()));
    assert_eq!(
        (&asked[2]["ended"], &asked[2]["rows"], &asked[2]["asked_by"]),
        (&"answered".into(), &1.into(), &"nora".into())
    );
}
