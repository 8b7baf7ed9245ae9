//! A case: a ticket with its collections, from the moment evidence is asked for until it is attached, or until it is said why not.

pub mod collection;
pub mod recipes;
