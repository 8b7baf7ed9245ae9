//! Evidence that is sealed at the machine, checked as it arrives, and checked again by anyone who has the CA's certificate.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use deskside_tests::lab::large_evidence::{flow, lay};
use deskside_tests::lab::process::{Agent, Server, Technician, until};
use serde_json::Value as Json;
use tempfile::TempDir;

/// A server, an agent, a technician and a ticket about the agent's machine.
struct House {
    folder: TempDir,
    server: Server,
    agent: Agent,
    desk: Technician,
    device: String,
}

impl House {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path()).unwrap();
        let mut agent = Agent::new(folder.path(), "").unwrap();
        let device = agent.enrol(&server).unwrap();
        let desk = server.technician(folder.path()).unwrap();
        until("the device to be known", || {
            let known = desk.json(&["device", &device])?;
            let tables = known["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
            Ok(tables.iter().any(|table| table["table"] == "os").then_some(()))
        })
        .unwrap();
        desk.json(&["ticket", "new", "It is broken", "--device", &device]).unwrap();
        Self { folder, server, agent, desk, device }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A bundle of the machine, fetched.
    fn bundle(&self) -> PathBuf {
        let wanted = ["collect", &self.device, "--ticket", "1", "--table", "os", "--table", "boot", "--wait"];
        let collection = self.desk.json(&wanted).unwrap();
        let path = self.path("bundle.zip");
        self.desk.says(&["evidence", "get", collection["evidence_id"].as_str().unwrap(), "-o", text(&path)]).unwrap();
        path
    }

    /// What `deskside verify` says: whether all holds, and what does not.
    fn verified(&self, file: &Path, ca: &Path) -> (bool, Vec<String>) {
        let mut command = self.desk.command().unwrap();
        command.args(["--json", "verify", text(file), "--ca", text(ca)]);
        let output = command.output().unwrap();
        let said: Json = serde_json::from_slice(&output.stdout).unwrap();
        let good = said["good"] == true;
        assert_eq!(output.status.code(), Some(i32::from(!good)), "{said:#}");
        let wrong = said["checks"].as_array().unwrap().iter().filter(|check| check["good"] == false);
        (good, wrong.map(|check| check["words"].as_str().unwrap().to_owned()).collect())
    }

    fn custody(&self) -> Json {
        self.desk.json(&["custody", "1"]).unwrap()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn deeds(custody: &Json) -> Vec<&str> {
    custody["entries"].as_array().unwrap().iter().map(|entry| entry["what"].as_str().unwrap()).collect()
}

/// Bits over the whole of a file are changed, one at a time; each is found out.
fn each_bit_counts(house: &House, file: &Path, ca: &Path) {
    let bytes = fs::read(file).unwrap();
    let last = bytes.len() - 1;
    let altered = house.path("altered.zip");
    for place in (0..24).map(|part| last * part / 23).chain([last - 10, last - 30, last - 60]) {
        let mut other = bytes.clone();
        other[place] ^= 1 << (place % 8);
        fs::write(&altered, other).unwrap();
        let (good, wrong) = house.verified(&altered, ca);
        assert!(!good && !wrong.is_empty(), "byte {place} of {last}");
    }
}

#[test]
fn evidence_goes_from_the_machine_to_a_file_that_is_checked_without_the_server() {
    let mut house = House::open();
    let bundle = house.bundle();
    let said = house.desk.says(&["verify", text(&bundle)]).unwrap();
    assert!(said.contains("is what was sealed") && said.contains("certificate is of the trusted CA"), "{said}");
    let custody = house.custody();
    let told = deeds(&custody);
    let order = ["collect", "asked", "collected", "stored", "verified", "exported", "view"];
    let mut places = order.iter().map(|what| told.iter().position(|told| told == what).unwrap());
    let first = places.next().unwrap();
    assert!(places.try_fold(first, |before, place| (before < place).then_some(place)).is_some(), "{told:?}");
    let exported = custody["entries"].as_array().unwrap().iter().find(|entry| entry["what"] == "exported").unwrap();
    let who = [&exported["who"], &exported["role"], &exported["peer"]];
    assert_eq!(who, ["anna", "admin", "127.0.0.1"], "{exported:#}");

    let case = house.path("case.zip");
    house.desk.says(&["evidence", "export", "1", "-o", text(&case)]).unwrap();
    let ca = house.server.data().join("identity/ca.pem");
    house.server.stop().unwrap();
    house.agent.stop().unwrap();
    for file in [&bundle, &case] {
        assert_eq!(house.verified(file, &ca), (true, Vec::new()));
        each_bit_counts(&house, file, &ca);
    }
    let said = house.desk.says(&["verify", text(&case)]).unwrap();
    assert!(said.contains("the custody log of the ticket is whole") && said.contains("evidence/"), "{said}");
    let other = house.other_ca();
    let (good, wrong) = house.verified(&bundle, &other);
    assert!(!good && wrong[0].contains("another CA"), "{wrong:?}");
    assert!(!house.verified(&case, &other).0);
}

impl House {
    /// The certificate of a CA that has nothing to do with this house.
    fn other_ca(&self) -> PathBuf {
        let key = rcgen::KeyPair::generate().unwrap();
        let path = self.path("other.pem");
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        fs::write(&path, certificate.pem()).unwrap();
        path
    }
}

#[test]
fn a_bundle_that_is_not_sealed_is_kept_and_the_case_says_so() {
    let mut house = House::open();
    house.agent.stop().unwrap();
    until("the device to be off", || {
        Ok((house.desk.json(&["devices"])?.pointer("/0/connected") == Some(&Json::Bool(false))).then_some(()))
    })
    .unwrap();
    let collection = house.desk.json(&["collect", &house.device, "--ticket", "1", "--table", "os"]).unwrap();
    let id = collection["id"].as_str().unwrap();
    let path = house.agent.state().join("evidence").join(format!("{id}.zip"));
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    zip.start_file("summary.md", zip::write::SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap();
    lay(&path, id).unwrap();
    house.agent.run().unwrap();
    until("the evidence", || Ok(house.desk.json(&["evidence", "list"])?.get(0).cloned())).unwrap();
    let listed = house.desk.says(&["evidence", "list"]).unwrap();
    assert!(listed.contains("NOT proven: the device's seal does not hold: it is not sealed"), "{listed}");
    let case = house.desk.json(&["ticket", "show", "1"]).unwrap();
    let told = case["events"].as_array().unwrap().iter().any(|event| event["what"] == "unverified");
    assert!(told, "{:#}", case["events"]);
    let custody = house.custody();
    let told = deeds(&custody);
    assert!(told.contains(&"unverified") && !told.contains(&"verified"), "{told:?}");
    house.desk.says(&["evidence", "export", "1", "-o", text(&house.path("case.zip"))]).unwrap();
    let ca = house.server.data().join("identity/ca.pem");
    assert_eq!(house.verified(&house.path("case.zip"), &ca), (true, Vec::new()), "the export vouches for what came");
}

#[test]
fn what_everybody_did_is_asked_by_who_and_what_and_exported_whole() {
    let house = House::open();
    let viewer = house.server.viewer(house.folder.path()).unwrap();
    let refused = viewer.says(&["custody", "1"]).unwrap_err().to_string();
    assert!(refused.contains("technician"), "{refused}");
    let denied = house.desk.json(&["audit", "--who", "vera", "--what", "denied"]).unwrap();
    let denied = denied.as_array().unwrap();
    assert_eq!(denied.len(), 1, "{denied:#?}");
    assert_eq!((&denied[0]["role"], &denied[0]["peer"]), (&"viewer".into(), &"127.0.0.1".into()));
    let path = house.path("audit.jsonl");
    house.desk.says(&["audit", "--export", text(&path)]).unwrap();
    let lines = fs::read_to_string(&path).unwrap();
    let numbers: Vec<u64> =
        lines.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "each entry, once, in order");
    let by_operator = house.server.says(&["audit", "--what", "denied", "--json"]).unwrap();
    assert!(by_operator.contains("vera"), "{by_operator}");
    assert!(house.server.says(&["custody", "check"]).unwrap().contains("each follows from the one before"));
}

#[test]
fn a_store_whose_log_was_cut_while_the_server_was_off_is_told_of() {
    let mut house = House::open();
    house.server.stop().unwrap();
    cut_log(&house.server.data().join("store.db"));
    let refused = house.server.says(&["custody", "check"]).unwrap_err().to_string();
    assert!(refused.contains("its end was cut off"), "{refused}");
    house.server.resume().unwrap();
    until("the loud line", || {
        let log = fs::read_to_string(house.path("server.log"))?;
        Ok(log.contains("THE CUSTODY LOG IS NOT WHOLE").then_some(()))
    })
    .unwrap();
}

/// Cuts the last entries off, as one would who can write to the store's file.
fn cut_log(path: &Path) {
    let sql = "DROP TRIGGER custody_log_stays; DELETE FROM custody_log WHERE number > 2;";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let db = deskside_server::store::Db::open(path).unwrap();
    runtime.block_on(db.write(move |tx| Ok(tx.execute_batch(sql)?))).unwrap();
}

#[test]
fn evidence_whose_line_is_cut_again_and_again_comes_whole_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let came = flow(folder.path(), 12_000_000, vec![1_500_000, 2_345_678, 4_000_001]).unwrap();
    assert_eq!(came.cuts, 3);
    assert!(came.bytes > 12_000_000 && came.custody.iter().any(|what| what == "verified"), "{came:?}");
}
