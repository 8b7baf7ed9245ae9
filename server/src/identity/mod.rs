//! Who is who: the server's own authority, devices by certificate, technicians and new machines by secret.

mod authority;
pub mod oidc;
mod peer;
pub mod personal;
pub mod renewal;
mod secret;
mod tls;

pub use authority::{Authority, CsrRefused};
pub use peer::{Peer, PeerError};
pub use secret::{Secret, hash};
pub use tls::ServerTls;

#[cfg(test)]
mod tests;
