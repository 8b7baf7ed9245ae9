//! The desk over a real connection.
