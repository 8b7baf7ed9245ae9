//! Collectors of the printing family.
