//! Collectors of the deskside family.
