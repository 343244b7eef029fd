//! Caps on what a hostile or broken peer can make the machines hold or do.

/// Every size and depth that input can drive, each settable. Reaching one is `limit_exceeded`, which names it.
///
/// The field names are the names that errors and hosts use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one manifest, index or config (registries accept 4 MiB; image-spec 1.1 asks for no less).
    pub document_bytes: u64,
    /// Bytes of one token response.
    pub token_bytes: u64,
    /// Bytes of one error body that are read; the rest is discarded.
    pub error_body_bytes: u64,
    /// Bytes of one page of a tag or repository list.
    pub list_page_bytes: u64,
    /// Entries collected by one list job.
    pub list_entries: u64,
    /// Depth of nested indexes.
    pub index_depth: u32,
    /// Descriptors in one index, layers in one manifest.
    pub descriptors: u32,
    /// Bytes of one `data` field, decoded.
    pub embedded_data_bytes: u64,
    /// Depth of nesting in JSON.
    pub json_depth: u32,
    /// Values in one JSON document: a small one can take a hundred times its bytes in memory.
    pub json_values: u32,
    /// Redirects followed for one exchange.
    pub redirects: u32,
    /// Challenges parsed in one response.
    pub challenges: u32,
    /// Bytes of one header value that is parsed.
    pub header_bytes: u32,
    /// Bytes of one blob.
    pub blob_bytes: u64,
    /// Output bytes per input byte of a decoder, judged only above 1 GiB of output.
    pub ratio: u32,
    /// Bytes of a zstd frame's window; 128 MiB is what the reference decoder takes, and `zstd --ultra` asks for.
    pub zstd_window_bytes: u64,
    /// Total bytes of the merged tree; `None` leaves it to the sink's free space.
    pub total_bytes: Option<u64>,
    /// Entries over all layers.
    pub entries: u64,
    /// Bytes of one path or link target.
    pub path_bytes: u32,
    /// Components of one path.
    pub path_depth: u32,
    /// Bytes of symlink targets followed while names are resolved (L3), beyond 1,024 for each entry.
    pub symlink_bytes: u64,
    /// Bytes of PAX or GNU extension headers before one entry.
    pub pax_bytes: u32,
    /// Bytes of the attributes that PAX global headers of one tar give to every entry.
    pub global_pax_bytes: u32,
    /// Bytes of content that one sparse file stands for.
    pub sparse_bytes: u64,
    /// Fragments of one sparse map.
    pub sparse_fragments: u32,
    /// Layers in one image.
    pub layers: u32,
    /// Members of one archive of images, or files of one directory of them.
    pub archive_members: u32,
    /// Bytes of all documents in one archive of images together.
    pub archive_document_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            document_bytes: 4 << 20,
            token_bytes: 1 << 20,
            error_body_bytes: 64 << 10,
            list_page_bytes: 16 << 20,
            list_entries: 10_000_000,
            index_depth: 8,
            descriptors: 10_000,
            embedded_data_bytes: 4 << 20,
            json_depth: 64,
            json_values: 250_000,
            redirects: 10,
            challenges: 16,
            header_bytes: 64 << 10,
            blob_bytes: 1 << 50,
            ratio: 2_000,
            zstd_window_bytes: 128 << 20,
            total_bytes: None,
            entries: 50_000_000,
            path_bytes: 64 << 10,
            path_depth: 4_096,
            symlink_bytes: 64 << 20,
            pax_bytes: 4 << 20,
            global_pax_bytes: 64 << 10,
            sparse_bytes: 64 << 30,
            sparse_fragments: 1_000_000,
            layers: 10_000,
            archive_members: 1_000_000,
            archive_document_bytes: 256 << 20,
        }
    }
}
