//! Media types of the OCI image-spec and of Docker.
/// placeholder
pub struct MediaType;
