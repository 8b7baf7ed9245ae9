//! Collectors of the network family.
