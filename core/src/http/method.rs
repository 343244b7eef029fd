use core::fmt;

/// The methods of the registry protocol (RFC 9110 §9.3, RFC 5789 for `PATCH`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// All of them.
    pub const ALL: &'static [Method] =
        &[Method::Get, Method::Head, Method::Post, Method::Put, Method::Patch, Method::Delete];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// The method of this name. Names are case-sensitive (RFC 9110 §9.1).
    pub fn from_name(name: &str) -> Option<Method> {
        Method::ALL.iter().copied().find(|method| method.as_str() == name)
    }

    /// Whether it only reads (RFC 9110 §9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head)
    }

    /// Whether sending it twice does no more than sending it once (RFC 9110 §9.2.2), so that it may be repeated
    /// without knowing what became of the first.
    pub const fn is_idempotent(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Put | Method::Delete)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Method;

    #[test]
    fn names_go_both_ways_and_are_case_sensitive() {
        for method in Method::ALL {
            assert_eq!(Method::from_name(method.as_str()), Some(*method));
            assert_eq!(Method::from_name(&method.as_str().to_ascii_lowercase()), None);
            assert!(!method.is_safe() || method.is_idempotent());
        }
        assert!(!Method::Post.is_idempotent() && !Method::Patch.is_idempotent());
    }
}
