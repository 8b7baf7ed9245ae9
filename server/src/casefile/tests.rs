//! Case files of a made case.
