//! The contract of Deskside: generated messages and services, the catalogue of tables, and rows sealed and opened.

pub mod catalog;
pub mod changes;
pub mod codes;
pub mod digest;
pub mod first_contact;
pub mod invite;
pub mod json_row;
pub mod log_line;
pub mod moment;
pub mod probes;
pub mod rows;
pub mod seal;
pub mod show;
pub mod sql;
pub mod xz;

/// What stands before a policy's bytes where they are signed, so that the signature fits nothing else that the authority signs.
pub const POLICY_SIGNED: &[u8] = b"deskside policy v1\0";

/// Messages and services of `deskside.v1`, generated from the `.proto` files; their comments are the documentation.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::indexing_slicing)]
pub mod v1 {
    tonic::include_proto!("deskside.v1");
}

/// The descriptors of this release, with comments, as protobuf's `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Largest message either side accepts on a stream. Why: tonic keeps message-sized buffers, and a peer must not choose our memory.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Largest encoded reading; a look that finds more is cut to it and says `partial`.
pub const READING_BYTES_MAX: usize = 512 * 1024;

/// Bytes of one chunk of an upload.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// The name that every server certificate carries, whatever address it is reached by.
pub const SERVER_NAME: &str = "deskside-server";
