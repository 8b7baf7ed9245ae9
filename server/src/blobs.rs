//! Evidence at rest: an object store, a folder unless the configuration names another.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path as Location, prefix::PrefixStore};
use prost::bytes::Bytes;
use tokio::io::AsyncReadExt;
use url::Url;

/// Bytes of one piece of a multipart upload; object stores want 5 MiB at least.
const PIECE_BYTES: usize = 8 * 1024 * 1024;

/// Where evidence lies; cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    objects: Arc<dyn ObjectStore>,
}

impl Blobs {
    /// In a folder, which is made if it is not there. What was put is on the disk when `put_file` returns.
    pub fn folder(folder: &Path) -> Result<Self> {
        let named = || format!("opening the evidence folder {}", folder.display());
        std::fs::create_dir_all(folder).with_context(named)?;
        let objects = LocalFileSystem::new_with_prefix(folder).with_context(named)?.with_fsync(true);
        Ok(Self { objects: Arc::new(objects) })
    }

    /// Where a URL says: `file:///folder`.
    pub fn url(url: &str) -> Result<Self> {
        let parsed = Url::parse(url).with_context(|| format!("the object store's URL {url:?}"))?;
        if parsed.scheme() == "file" {
            let folder = parsed.to_file_path().ok().with_context(|| format!("no folder in {url:?}"))?;
            return Self::folder(&folder);
        }
        let (objects, prefix) =
            object_store::parse_url(&parsed).with_context(|| format!("the object store {url:?}"))?;
        Ok(Self { objects: Arc::new(PrefixStore::new(objects, prefix)) })
    }

    /// Puts a file there, in pieces, replacing what lay there. Returns when it is durable.
    pub async fn put_file(&self, location: &str, file: &Path) -> Result<()> {
        let source = tokio::fs::File::open(file).await.with_context(|| format!("storing {location}"))?;
        self.put(location, source).await
    }

    /// The same of a file that stands at its beginning.
    pub async fn put(&self, location: &str, mut source: tokio::fs::File) -> Result<()> {
        let named = || format!("storing {location}");
        let mut upload = self.objects.put_multipart(&Location::from(location)).await.with_context(named)?;
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let read = (&mut source).take(PIECE_BYTES as u64).read_to_end(&mut piece).await.with_context(named)?;
            if read == 0 {
                break;
            }
            upload.put_part(piece.into()).await.with_context(named)?;
        }
        upload.complete().await.with_context(named)?;
        Ok(())
    }

    /// The bytes that lie there, in pieces.
    pub async fn get(&self, location: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
        let found = self.objects.get(&Location::from(location)).await.with_context(|| format!("reading {location}"))?;
        Ok(found.into_stream().map_err(anyhow::Error::from).boxed())
    }

    /// Size of what lies there.
    pub async fn size(&self, location: &str) -> Result<u64> {
        let meta = self.objects.head(&Location::from(location)).await.with_context(|| format!("reading {location}"))?;
        Ok(meta.size)
    }

    /// Deletes what lies there; what is not there is not missed.
    pub async fn delete(&self, location: &str) -> Result<()> {
        match self.objects.delete(&Location::from(location)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("deleting {location}")),
        }
    }

    /// Whether it can be written to and read from.
    pub async fn check(&self) -> Result<()> {
        let location = Location::from(".check");
        self.objects
            .put(&location, Bytes::from_static(b"deskside").into())
            .await
            .context("writing to the object store")?;
        let back = self.objects.get(&location).await?.bytes().await.context("reading from the object store")?;
        self.objects.delete(&location).await.context("deleting from the object store")?;
        ensure!(back.as_ref() == b"deskside", "the object store gave back something else than it was given");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_put_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::folder(&folder.path().join("evidence")).unwrap();
        let file = folder.path().join("file");
        let bytes = vec![7_u8; PIECE_BYTES + 3];
        std::fs::write(&file, &bytes).unwrap();
        blobs.put_file("7/a.zip", &file).await.unwrap();
        assert_eq!(blobs.size("7/a.zip").await.unwrap(), bytes.len() as u64);
        let back: Vec<Bytes> = blobs.get("7/a.zip").await.unwrap().try_collect().await.unwrap();
        assert_eq!(back.concat(), bytes);
        for _time in 0..2 {
            blobs.delete("7/a.zip").await.unwrap();
            assert!(blobs.size("7/a.zip").await.is_err(), "it is gone, and stays so");
        }
        blobs.check().await.unwrap();
    }

    #[test]
    fn a_url_that_means_nothing_is_refused() {
        assert!(Blobs::url("not a url").is_err());
        assert!(Blobs::url("gopher://x/y").is_err());
    }
}
