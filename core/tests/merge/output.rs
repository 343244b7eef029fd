//! What the flattened tar is made of.
