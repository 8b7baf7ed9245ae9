//! Turns the `.proto` files into types, and what their options and comments say into the catalogue.

use std::{env, error::Error, fmt::Write as _, fs, path::Path};

use prost::Message;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};

const FILES: &[&str] = &[
    "catalog",
    "reading",
    "query",
    "agent",
    "desk",
    "people",
    "custody",
    "login",
    "approvals",
    "keeping",
    "hardware",
    "storage",
    "devices",
    "system",
    "software",
    "printing",
    "print_devices",
    "network",
    "network_setup",
    "links",
    "wifi",
    "logs",
    "signatures",
    "probes",
    "reach",
    "capture",
    "privacy",
    "service_probes",
    "fleet",
    "help_desks",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=deskside");
    let out = env::var("OUT_DIR")?;
    let paths: Vec<String> = FILES.iter().map(|file| format!("deskside/v1/{file}.proto")).collect();
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(paths)?;

    let descriptors = compiler.encode_file_descriptor_set();
    let pool = DescriptorPool::decode(descriptors.as_slice())?;
    let tables = tables(&pool)?;
    fs::write(Path::new(&out).join("catalogue.bin"), catalogue(&pool, &tables)?)?;
    fs::write(Path::new(&out).join("rows.rs"), row_impls(&tables)?)?;
    fs::write(Path::new(&out).join("descriptors.bin"), &descriptors)?;

    tonic_prost_build::configure()
        .bytes(".deskside.v1.Reading.rows")
        // Why: each event of the uplink would be as large as a question or an answer.
        .boxed(".deskside.v1.Command.kind.query")
        .boxed(".deskside.v1.Answer.result")
        .btree_map(".deskside.v1")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// A message that is a table, with what its options say.
struct Table {
    message: MessageDescriptor,
    options: DynamicMessage,
}

fn tables(pool: &DescriptorPool) -> Result<Vec<Table>, Box<dyn Error>> {
    let option = extension(pool, "deskside.v1.table")?;
    let mut tables: Vec<Table> = pool
        .all_messages()
        .filter(|message| message.options().has_extension(&option))
        .filter_map(|message| {
            let options = message.options().get_extension(&option).as_message()?.clone();
            Some(Table { message, options })
        })
        .collect();
    tables.sort_by_key(|table| (number(&table.options, "family"), text(&table.options, "name")));
    Ok(tables)
}

fn catalogue(pool: &DescriptorPool, tables: &[Table]) -> Result<Vec<u8>, Box<dyn Error>> {
    let option = extension(pool, "deskside.v1.column")?;
    let new = |name: &str| -> Result<DynamicMessage, Box<dyn Error>> {
        Ok(DynamicMessage::new(pool.get_message_by_name(name).ok_or("no such message")?))
    };
    let mut schemas = Vec::new();
    for table in tables {
        let mut columns = Vec::new();
        for field in table.message.fields() {
            let mut column = new("deskside.v1.ColumnSchema")?;
            column.set_field_by_name("name", Value::String(field.name().into()));
            column.set_field_by_name("number", Value::U32(field.number()));
            column.set_field_by_name("type", Value::EnumNumber(column_type(&field)?));
            column.set_field_by_name("repeated", Value::Bool(field.cardinality() == Cardinality::Repeated));
            column.set_field_by_name("optional", Value::Bool(field.supports_presence()));
            if field.options().has_extension(&option) {
                column.set_field_by_name("options", field.options().get_extension(&option).into_owned());
            }
            column.set_field_by_name("doc", Value::String(doc(&field.parent_file(), field.path(), field.full_name())?));
            columns.push(Value::Message(column));
        }
        let mut schema = new("deskside.v1.TableSchema")?;
        for name in ["name", "kind", "family"] {
            let value = table.options.get_field_by_name(name).ok_or("no such option")?;
            schema.set_field_by_name(name, value.into_owned());
        }
        if table.options.has_field_by_name("probe") {
            let probe = table.options.get_field_by_name("probe").ok_or("no such option")?;
            schema.set_field_by_name("probe", probe.into_owned());
        }
        let message = &table.message;
        schema
            .set_field_by_name("doc", Value::String(doc(&message.parent_file(), message.path(), message.full_name())?));
        schema.set_field_by_name("columns", Value::List(columns));
        schemas.push(Value::Message(schema));
    }
    let mut catalogue = new("deskside.v1.Catalogue")?;
    catalogue.set_field_by_name("tables", Value::List(schemas));
    Ok(catalogue.encode_to_vec())
}

fn row_impls(tables: &[Table]) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for table in tables {
        let (message, name) = (table.message.name(), text(&table.options, "name"));
        writeln!(code, "impl crate::rows::Row for crate::v1::{message} {{ const TABLE: &'static str = {name:?}; }}")?;
    }
    Ok(code)
}

fn extension(pool: &DescriptorPool, name: &str) -> Result<ExtensionDescriptor, Box<dyn Error>> {
    Ok(pool.all_extensions().find(|e| e.full_name() == name).ok_or("option is not declared")?)
}

fn number(options: &DynamicMessage, name: &str) -> i32 {
    options.get_field_by_name(name).and_then(|v| v.as_enum_number()).unwrap_or_default()
}

fn text(options: &DynamicMessage, name: &str) -> String {
    options.get_field_by_name(name).and_then(|v| v.as_str().map(Into::into)).unwrap_or_default()
}

/// The numbers are those of `deskside.v1.ColumnType`.
fn column_type(field: &FieldDescriptor) -> Result<i32, Box<dyn Error>> {
    Ok(match field.kind() {
        Kind::Bool => 1,
        Kind::Int64 | Kind::Int32 => 2,
        Kind::Uint64 | Kind::Uint32 => 3,
        Kind::Sint64 | Kind::Sint32 => 4,
        Kind::Double => 5,
        Kind::String => 6,
        Kind::Bytes => 7,
        other => return Err(format!("{}: a column cannot be {other:?}", field.full_name()).into()),
    })
}

/// The comment above a message or a field; a table or a column without one does not build.
fn doc(file: &prost_reflect::FileDescriptor, path: &[i32], name: &str) -> Result<String, Box<dyn Error>> {
    let comment = file
        .file_descriptor_proto()
        .source_code_info
        .as_ref()
        .and_then(|info| info.location.iter().find(|location| location.path == path))
        .map(|location| location.leading_comments().trim().lines().map(str::trim).collect::<Vec<_>>().join(" "))
        .filter(|comment| !comment.is_empty());
    comment.ok_or_else(|| format!("{name} has no comment, and the comment is its documentation").into())
}
