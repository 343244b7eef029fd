//! placeholder
/// placeholder
pub struct Platform;
