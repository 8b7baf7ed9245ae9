//! Takes readings in: checks who numbers what, checks the envelope, hands on to the store, and tells when they are durable.

pub mod sequence;
