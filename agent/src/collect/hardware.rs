//! Collectors of the hardware family.
