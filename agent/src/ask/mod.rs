//! Questions in SQL about this machine: its record, and looks now.

mod limits;
mod machine;
#[cfg(test)]
mod tests;
mod window;

pub use limits::Limits;
pub use machine::{Looks, Machine};
