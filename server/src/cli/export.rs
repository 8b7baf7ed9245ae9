//! A whole case as one sealed ZIP file, written as it comes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use data_encoding::HEXLOWER;
use deskside_proto::show;
use deskside_proto::v1::{ExportCaseRequest, ExportedFile, export_piece::Kind};
use ring::digest;
use serde_json::json;
use tempfile::NamedTempFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::bundle::safe_name;
use super::connect::Desk;
use super::screen::{Line, Screen};
use super::trouble::Trouble;

type Zip = ZipWriter<BufWriter<NamedTempFile>>;

/// A file that is being written, and its hash so far.
struct Writing {
    file: ExportedFile,
    hash: digest::Context,
    size: u64,
}

/// Fetches a case into a file, checked on the way.
pub(super) async fn export(desk: &mut Desk, screen: Screen, ticket: u64, out: Option<PathBuf>) -> anyhow::Result<()> {
    let out = out.unwrap_or_else(|| PathBuf::from(format!("case-{ticket}.zip")));
    if out.exists() {
        return Err(Trouble::new(format!("{} is there already", out.display()), "name another place with -o").into());
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = NamedTempFile::new_in(folder).with_context(|| format!("writing in {}", folder.display()))?;
    let mut zip = ZipWriter::new(BufWriter::new(file));
    let mut pieces = desk.export_case(ExportCaseRequest { ticket }).await?.into_inner();
    let (mut writing, mut files) = (None::<Writing>, 0);
    while let Some(piece) = pieces.message().await? {
        match piece.kind.context("the server sent an empty piece")? {
            Kind::File(file) => {
                end(writing.take())?;
                writing = Some(begin(&mut zip, file)?);
                files += 1;
            }
            Kind::Bytes(bytes) => {
                let writing = writing.as_mut().context("the server sent bytes of no file")?;
                writing.size += bytes.len() as u64;
                writing.hash.update(&bytes);
                zip.write_all(&bytes).with_context(|| format!("writing {}", out.display()))?;
            }
        }
    }
    end(writing)?;
    let file = zip.finish()?.into_inner()?;
    file.as_file().sync_all()?;
    let file: File = file.persist_noclobber(&out).with_context(|| format!("writing {}", out.display()))?;
    let size = file.metadata()?.len();
    if screen.json {
        return Ok(screen.value(&json!({ "path": out, "size": size, "files": files }))?);
    }
    let words = format!("  {}, {files} files, sealed by the server", show::bytes(size as f64));
    screen.line(Line::default().good("✓ ").bold(out.display().to_string()).plain(words))?;
    Ok(screen
        .line(Line::default().dim(format!("`deskside verify {}` checks it, without the server", out.display())))?)
}

fn begin(zip: &mut Zip, file: ExportedFile) -> anyhow::Result<Writing> {
    let plain = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file(safe_name(&file.path)?, plain).with_context(|| format!("adding {}", file.path))?;
    Ok(Writing { file, hash: digest::Context::new(&digest::SHA256), size: 0 })
}

/// What came is what was said.
fn end(writing: Option<Writing>) -> anyhow::Result<()> {
    let Some(Writing { file, hash, size }) = writing else { return Ok(()) };
    if size == file.size && HEXLOWER.encode(hash.finish().as_ref()) == file.sha256 {
        return Ok(());
    }
    let advice = "export it again; if it stays so, tell an administrator: the evidence store is damaged";
    Err(anyhow!(Trouble::new(format!("{} is not what the server says it is", file.path), advice)))
}
