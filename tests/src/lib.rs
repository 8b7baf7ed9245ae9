//! What the scenarios share: real processes and real components, each with a life of its own that ends with the test.

pub mod house;
pub mod lab;
pub mod running;
