//! Followers of logs.
