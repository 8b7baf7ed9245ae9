//! What the machine tells by itself of its network, as it happens.
#![allow(unsafe_code, reason = "the runtime is promised that a descriptor stays open")]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::unix::AsyncFd;

/// One piece of news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Messages of rtnetlink(7), end to end, as the kernel wrote them.
    Network(Vec<u8>),
    /// The kernel had more to tell than there was room for: what changed meanwhile must be looked up.
    Lost,
    /// The file that names the resolvers may have been written.
    Resolvers,
}

/// News that wait to be heard.
pub trait News: Send + Sync {
    /// Becomes readable when there is some.
    fn ready(&self) -> BorrowedFd<'_>;
    /// The next piece, without waiting; absent where there is none.
    fn hear(&self) -> io::Result<Option<Heard>>;
}

/// What becomes readable on the runtime when there is news.
pub fn awaited(news: &dyn News) -> io::Result<AsyncFd<OwnedFd>> {
    let own = news.ready().try_clone_to_owned()?;
    // SAFETY: an `OwnedFd` is open, and stays the same one, for as long as it lives.
    unsafe { AsyncFd::register(own) }.map_err(io::Error::other)
}
