//! The contract is kept: what a release promised on the wire and in the catalogue, every later one promises too.
//!
//! A release's descriptors are written by
//! `cargo test -p deskside-tests --test contract -- --ignored the_descriptors_of_this_release_are_written`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use deskside_proto::DESCRIPTORS;
use prost::Message;
use prost_reflect::{Cardinality, DescriptorPool, DynamicMessage, EnumDescriptor, MessageDescriptor, Value};

/// What a set of descriptors promises: each name or number, and what it stands for.
type Promises = BTreeMap<String, String>;

fn promises(descriptors: &[u8]) -> Promises {
    let pool = DescriptorPool::decode(descriptors).expect("a descriptor set");
    let mut promises = Promises::new();
    for message in pool.all_messages().filter(|message| is_ours(message.full_name())) {
        promises.insert(format!("message {}", message.full_name()), String::new());
        message_promises(&message, &mut promises);
        table_promises(&pool, &message, &mut promises);
    }
    for kind in pool.all_enums().filter(|kind| is_ours(kind.full_name())) {
        enum_promises(&kind, &mut promises);
    }
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let stream = |streams: bool| if streams { "stream " } else { "" };
        let (input, output) = (method.input(), method.output());
        let takes = format!("{}{}", stream(method.is_client_streaming()), input.full_name());
        let gives = format!("{}{}", stream(method.is_server_streaming()), output.full_name());
        promises.insert(format!("method {}", method.full_name()), format!("{takes} -> {gives}"));
    }
    promises
}

fn is_ours(name: &str) -> bool {
    !name.starts_with("google.")
}

fn message_promises(message: &MessageDescriptor, promises: &mut Promises) {
    for field in message.fields() {
        let list = if field.cardinality() == Cardinality::Repeated { "repeated " } else { "" };
        let presence = if field.supports_presence() { "optional " } else { "" };
        let kept = format!("{list}{presence}{:?} {}", field.kind(), field.name());
        promises.insert(format!("field {}.{}", message.full_name(), field.number()), kept);
    }
}

fn enum_promises(kind: &EnumDescriptor, promises: &mut Promises) {
    for value in kind.values() {
        promises.insert(format!("value {}.{}", kind.full_name(), value.number()), value.name().to_owned());
    }
}

fn table_promises(pool: &DescriptorPool, message: &MessageDescriptor, promises: &mut Promises) {
    let Some(options) = option(pool, &message.options(), "deskside.v1.table") else { return };
    let table = text(&options, "name");
    let kept = format!("{} of {}", text(&options, "kind"), message.full_name());
    promises.insert(format!("table {table}"), kept);
    for field in message.fields() {
        let options = option(pool, &field.options(), "deskside.v1.column");
        let of = |name: &str| options.as_ref().map(|options| text(options, name)).unwrap_or_default();
        let kept = format!("key {}, unit {}", of("key") == "true", of("unit"));
        promises.insert(format!("column {table}.{}", field.name()), kept);
    }
}

fn option(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    let extension = pool.get_extension_by_name(name)?;
    options.has_extension(&extension).then(|| options.get_extension(&extension).as_message().cloned())?
}

fn text(options: &DynamicMessage, name: &str) -> String {
    match options.get_field_by_name(name).as_deref() {
        Some(Value::String(text)) => text.clone(),
        Some(Value::EnumNumber(number)) if *number != 0 => number.to_string(),
        Some(Value::Bool(true)) => "true".into(),
        _ => String::new(),
    }
}

/// Every promise of the older set that the newer one does not keep.
fn broken(older: &Promises, newer: &Promises) -> Vec<String> {
    let differs = older.iter().filter(|(name, kept)| newer.get(*name) != Some(kept));
    differs
        .map(|(name, kept)| match newer.get(name) {
            Some(now) => format!("{name} was \"{kept}\" and is \"{now}\""),
            None => format!("{name} ({kept}) is gone"),
        })
        .collect()
}

fn releases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/releases")
}

#[test]
fn this_release_keeps_what_every_earlier_one_promised() {
    let mut kept = 0;
    for entry in fs::read_dir(releases()).unwrap().map(Result::unwrap) {
        let older = promises(&fs::read(entry.path()).unwrap());
        let wrong = broken(&older, &promises(DESCRIPTORS));
        assert!(wrong.is_empty(), "{:?} is broken:\n{}", entry.file_name(), wrong.join("\n"));
        kept += older.len();
    }
    assert!(kept > 100, "a release is kept");
}

/// Comments are no promise, so they are left out.
#[test]
#[ignore = "writes the file that the test above reads; run it when a release is made"]
fn the_descriptors_of_this_release_are_written() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let bare = pool.file_descriptor_protos().cloned().map(|mut file| {
        file.source_code_info = None;
        file
    });
    let set = prost_reflect::prost_types::FileDescriptorSet { file: bare.collect() };
    let path = releases().join(concat!(env!("CARGO_PKG_VERSION"), ".bin"));
    fs::create_dir_all(releases()).unwrap();
    fs::write(path, set.encode_to_vec()).unwrap();
}

const BEFORE: &str = r#"
    message Fan {
      option (deskside.v1.table) = {name: "fans", kind: STATE, family: HARDWARE};
      // Name.
      string name = 1 [(deskside.v1.column) = {key: true}];
      // Speed.
      uint64 speed = 2;
    }
    enum Size { SMALL = 0; LARGE = 1; }
    service Shop { rpc Sell(Fan) returns (stream Fan); }
"#;

/// The promises of a made-up contract.
fn made_up(body: &str) -> Promises {
    let folder = tempfile::tempdir().expect("a made-up contract compiles");
    let head = "syntax = \"proto3\"; package made.up; import \"deskside/v1/catalog.proto\";";
    fs::write(folder.path().join("made_up.proto"), format!("{head}{body}")).expect("a made-up contract compiles");
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let mut compiler = protox::Compiler::new([folder.path(), &contract]).expect("a made-up contract compiles");
    compiler.include_imports(true).open_file("made_up.proto").expect("a made-up contract compiles");
    promises(&compiler.encode_file_descriptor_set())
}

#[test]
fn what_is_added_breaks_nothing() {
    let added = BEFORE
        .replace("uint64 speed = 2;", "uint64 speed = 2; string maker = 3;")
        .replace("LARGE = 1;", "LARGE = 1; HUGE = 2;")
        .replace("(stream Fan);", "(stream Fan); rpc Mend(Fan) returns (Fan);");
    assert_eq!(broken(&made_up(BEFORE), &made_up(&added)), Vec::<String>::new());
}

#[test]
fn every_kind_of_breach_is_caught() {
    let breaches = [
        ("a removed field", "uint64 speed = 2;", ""),
        ("a renumbered field", "speed = 2;", "speed = 3;"),
        ("a retyped field", "uint64 speed", "double speed"),
        ("a renamed field", "speed = 2;", "pace = 2;"),
        ("a field that became a list", "uint64 speed", "repeated uint64 speed"),
        ("a field that became optional", "uint64 speed", "optional uint64 speed"),
        ("a removed value", "LARGE = 1;", ""),
        ("a renumbered value", "LARGE = 1;", "LARGE = 2;"),
        ("a removed method", "rpc Sell(Fan) returns (stream Fan);", ""),
        ("a method that streams no more", "(stream Fan)", "(Fan)"),
        ("a renamed table", "\"fans\"", "\"blowers\""),
        ("a table of another kind", "kind: STATE", "kind: SAMPLE"),
        ("another key", "{key: true}", "{key: false}"),
        ("another unit", "speed = 2;", "speed = 2 [(deskside.v1.column) = {unit: HERTZ}];"),
        ("a renamed message", "Fan", "Blower"),
    ];
    let older = made_up(BEFORE);
    for (name, from, to) in breaches {
        let after = BEFORE.replace(from, to);
        assert_ne!(after, BEFORE, "{name} changes nothing");
        assert!(!broken(&older, &made_up(&after)).is_empty(), "{name} was not caught");
    }
}
