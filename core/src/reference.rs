//! placeholder
/// placeholder
pub struct Reference;
