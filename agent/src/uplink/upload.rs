//! Evidence on its way: begun, gone on with from where the server has it, until the server says that it is stored.

use std::path::Path;

use deskside_proto::CHUNK_BYTES;
use deskside_proto::v1::upload_chunk::Kind;
use deskside_proto::v1::{UploadBegin, UploadChunk};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::line::Client;

/// Chunks that are read from the disk and not yet taken by the line.
const CHUNKS_AHEAD: usize = 2;

/// Why an upload did not end well.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The line broke or the server is not able to now; to be tried again.
    #[error("{0}")]
    Again(String),
    /// The server does not want it, now or ever.
    #[error("{0}")]
    Unwanted(String),
}

/// Sends what the server lacks of a file. Returns when the whole is checked and durable there.
pub async fn upload(client: &mut Client, begin: &UploadBegin, path: &Path) -> Result<(), UploadError> {
    let (chunks, messages) = mpsc::channel(CHUNKS_AHEAD);
    let first = UploadChunk { kind: Some(Kind::Begin(begin.clone())) };
    chunks.try_send(first).map_err(|error| UploadError::Again(error.to_string()))?;
    let mut states = client.upload(ReceiverStream::new(messages)).await.map_err(|status| judge(&status))?.into_inner();
    let state = states.message().await.map_err(|status| judge(&status))?;
    let state = state.ok_or_else(|| UploadError::Again("the server ended the upload".into()))?;
    if state.stored {
        return Ok(());
    }
    let sending = send(chunks, path, state.offset);
    let stored = async {
        loop {
            match states.message().await {
                Ok(Some(state)) if state.stored => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => return Err(UploadError::Again("the server ended the upload".into())),
                Err(status) => return Err(judge(&status)),
            }
        }
    };
    tokio::pin!(sending, stored);
    tokio::select! {
        ended = &mut stored => return ended,
        sent = &mut sending => sent.map_err(|error| UploadError::Again(format!("reading {}: {error}", path.display())))?,
    }
    stored.await
}

async fn send(chunks: mpsc::Sender<UploadChunk>, path: &Path, offset: u64) -> std::io::Result<()> {
    let mut file = tokio::fs::File::open(path).await?;
    file.seek(std::io::SeekFrom::Start(offset)).await?;
    loop {
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut bytes).await?;
        // A receiver that is gone has said why on the other stream.
        if bytes.is_empty() || chunks.send(UploadChunk { kind: Some(Kind::Bytes(bytes)) }).await.is_err() {
            return Ok(());
        }
    }
}

fn judge(status: &Status) -> UploadError {
    let why = if status.message().is_empty() { status.code().to_string() } else { status.message().into() };
    match status.code() {
        Code::NotFound | Code::FailedPrecondition | Code::InvalidArgument | Code::OutOfRange | Code::DataLoss => {
            UploadError::Unwanted(why)
        }
        _ => UploadError::Again(why),
    }
}
